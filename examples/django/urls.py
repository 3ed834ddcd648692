from django.urls import path

import views

urlpatterns = [
    path("webskt/", views.webskt),
    path("webskt2/", views.webskt2),
]
