"""The least that Django needs behind nginx: no database, no sessions, no users."""

import os
from pathlib import Path

from django.core.management.utils import get_random_secret_key

DEBUG = False

# Signs nothing here. A site with sessions keeps one, the same for all its processes.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY") or get_random_secret_key()

# The names that the site is known by, separated by commas.
ALLOWED_HOSTS = os.environ.get("DJANGO_HOSTS", "localhost,127.0.0.1,[::1]").split(",")

# nginx takes TLS off, and says so in a header that it sets itself, whatever the browser sends.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

ROOT_URLCONF = "urls"

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

# The folder with plainws' pages: those of this repository, or where a package put them.
PLAINWS_PAGES = Path(
    os.environ.get("PLAINWS_PAGES") or Path(__file__).resolve().parents[2] / "html"
)
