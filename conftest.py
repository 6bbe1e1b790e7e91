"""Nothing but the plugin's own tests needs a fixture that pytest does not load by itself."""

pytest_plugins = ["pytester"]
