from locust import User, task


class Buyer(User):
    @task
    def buy(self) -> None:
        pass
