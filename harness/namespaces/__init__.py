"""What is a node made of where there is no container engine: namespaces of Linux, and who keeps them?"""
