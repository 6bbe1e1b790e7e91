"""Users that Locust would not run: abstract ones, and what is none."""

from locust import HttpUser, LoadTestShape, TaskSet


class Base(HttpUser):
    abstract = True


class Shape(LoadTestShape):
    pass


class Tasks(TaskSet):
    pass
