from django.urls import path

import views

urlpatterns = [
    path("webskt/", views.webskt),
    path("webskt2/", views.webskt2),
    # The pages look for it beside themselves.
    path("webskt/plainws.js", views.script),
    path("webskt2/plainws.js", views.script),
]
