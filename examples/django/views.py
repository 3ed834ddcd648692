"""The clock and the counter as pages of this site; their sockets are nginx's, by wss.

The pages are plainws' own, read at each request, so that they are as new as the daemon. Each is told
where its socket is in its head; a path is enough: a page from https:// makes wss:// of it.
"""

from django.conf import settings
from django.http import HttpResponse
from django.utils.html import format_html


def webskt(request):
    return page("clock.html", "/websocket/")


def webskt2(request):
    return page("counter.html", "/websocket2/")


def script(request):
    text = (settings.PLAINWS_PAGES / "plainws.js").read_text(encoding="utf-8")
    return HttpResponse(text, content_type="text/javascript; charset=utf-8")


def page(name, socket):
    html = (settings.PLAINWS_PAGES / name).read_text(encoding="utf-8")
    meta = format_html('<meta name="plainws-socket" content="{}">\n', socket)
    return HttpResponse(html.replace("</head>", meta + "</head>", 1))
