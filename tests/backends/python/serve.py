"""Flask and Django, each on a port of its own. Prints the two ports in one line and serves until its input ends."""
import logging
import sys
import threading

from werkzeug.serving import make_server

REACHED = "x-reached"


def flask_app():
    from flask import Flask, Response

    app = Flask(__name__)
    every = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]

    def says(handler):
        return lambda rest="": Response("", headers={REACHED: handler})

    def both(path, handler, methods):
        for rule in (path, path + "/", path + "/<path:rest>"):
            app.add_url_rule(rule, endpoint=handler + rule, view_func=says(handler), methods=methods, provide_automatic_options=False)

    both("/admin", "admin", every)
    both("/items", "read", ["GET", "HEAD"])
    both("/items", "write", ["POST", "PUT", "DELETE"])
    app.add_url_rule("/reports/export", endpoint="export", view_func=says("export"), methods=["POST"], provide_automatic_options=False)
    both("/reports", "report", every)
    app.register_error_handler(404, lambda error: Response("", headers={REACHED: "site"}))
    return app


def django_app():
    from django.conf import settings

    settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__, APPEND_SLASH=False, MIDDLEWARE=["django.middleware.common.CommonMiddleware"], SECRET_KEY="of a test", LOGGING_CONFIG=None)
    import django

    django.setup()
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def urlpatterns_of_django():
    from django.http import HttpResponse, HttpResponseNotAllowed
    from django.urls import re_path

    def says(handler):
        return lambda request: HttpResponse("", headers={REACHED: handler})

    def items(request):
        if request.method in ("GET", "HEAD"):
            return says("read")(request)
        return says("write")(request) if request.method in ("POST", "PUT", "DELETE") else HttpResponseNotAllowed(["GET"])

    def export(request):
        return says("export" if request.method == "POST" else "report")(request)

    return [
        re_path(r"^admin(?:/|$)", says("admin"), name="admin"),
        re_path(r"^items(?:/|$)", items),
        re_path(r"^reports/export$", export),
        re_path(r"^reports(?:/|$)", says("report")),
        re_path(r"", says("site")),
    ]


def main():
    logging.disable(logging.CRITICAL)
    django = django_app()
    # Django looks them up here, by ROOT_URLCONF.
    globals()["urlpatterns"] = urlpatterns_of_django()
    servers = [make_server("127.0.0.1", 0, app, threaded=True) for app in (flask_app(), django)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(*(server.server_port for server in servers), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
