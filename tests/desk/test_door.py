"""Who may come in, and what browsers are told."""

import io
import re
from pathlib import Path

import pytest

from cxr.desk.app import ROOT, create_app
from cxr.errors import SettingError
from cxr.reading.reader import Reader
from cxr.reading.readers import Readers
from cxr.settings import Settings
from tests.desk.desk import Desk, open_desk, sentence_of

DETOURS = [
    "/static/gradcam/.gitkeep",
    "/static/./gradcam/.gitkeep",
    "/static/x/../gradcam/.gitkeep",
    "/static/gradcam/x/../.gitkeep",
    "/static/%2e/gradcam/.gitkeep",
    "/static/./gradcam%2f.gitkeep",
]


def test_a_form_without_its_token_is_refused(desk: Desk, film_png: bytes) -> None:
    answer = desk.client.post("/films", data={"film": (io.BytesIO(film_png), "a.png")})
    assert answer.status_code == 400
    assert "reload the page" in sentence_of(answer)
    assert desk.client.post("/films/x/delete").status_code == 400
    assert desk.keeps_nothing()


def test_the_local_desk_answers_to_loopback_names_alone(desk: Desk) -> None:
    hosts = {
        "127.0.0.1:8000": 200,
        "localhost": 200,
        "[::1]:8000": 200,
        "evil.example": 403,
        "127.0.0.1.evil.example": 403,
    }
    assert {host: desk.client.get("/films", headers={"Host": host}).status_code for host in hosts} == hosts
    assert desk.client.get("/static/gradcam/x/y.png", headers={"Host": "evil.example"}).status_code == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost", 201),
        ("http://evil.example", 403),
        ("null", 403),
        ("http://localhost:9999", 403),
        ("http://127.0.0.1", 403),
    ],
)
def test_a_write_from_another_site_is_refused(desk: Desk, film_png: bytes, origin: str, status: int) -> None:
    form = {"film": (io.BytesIO(film_png), "a.png")}
    assert desk.client.post("/api/v1/films", data=form, headers={"Origin": origin}).status_code == status
    assert len(desk.films()) == (status == 201)


def test_a_shared_desk_behind_a_proxy_accepts_the_origins_it_was_told(
    tmp_path: Path, reader: Reader, film_png: bytes
) -> None:
    with open_desk(tmp_path, reader, local=False, secret_key="k", allowed_hosts="desk.example, localhost") as desk:
        for origin, status in (("https://desk.example", 201), ("https://evil.example", 403)):
            form = {"film": (io.BytesIO(film_png), "a.png")}
            assert desk.client.post("/api/v1/films", data=form, headers={"Origin": origin}).status_code == status
        assert desk.client.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert desk.client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200


HOSTS = {
    "": {"127.0.0.1:8000": 200, "LOCALHOST": 200, "[::1]:8000": 200, "10.0.0.7": 403, "desk.example": 403, "[": 403},
    "Desk.Example:8443, [::1]:80": {"desk.example": 200, "DESK.example:443": 200, "[::1]": 200, "localhost": 403},
    "https://desk.example ::1": {"desk.example": 200, "[::1]:8000": 200, "https": 403},
    " , ": {"localhost": 200, "desk.example": 403},
}


@pytest.mark.parametrize("listed", HOSTS)
def test_a_shared_desk_answers_to_the_listed_hosts_else_to_loopback_names(
    tmp_path: Path, reader: Reader, listed: str
) -> None:
    with open_desk(tmp_path, reader, local=False, secret_key="k", allowed_hosts=listed) as desk:
        told = {host: desk.client.get("/films", headers={"Host": host}) for host in HOSTS[listed]}
        assert {host: answer.status_code for host, answer in told.items()} == HOSTS[listed]
        assert all("CXR_ALLOWED_HOSTS" in answer.text for answer in told.values() if answer.status_code == 403)
        assert desk.client.get("/healthz", headers={"Host": "10.0.0.7"}).status_code == 200
        assert desk.client.get("/readyz", headers={"Host": "10.0.0.7"}).status_code == 200


@pytest.mark.parametrize("origin", ["http://[", "http://evil.example]", "//", "evil.example"])
def test_an_origin_that_is_none_is_refused(desk: Desk, film_png: bytes, origin: str) -> None:
    form = {"film": (io.BytesIO(film_png), "a.png")}
    assert desk.client.post("/api/v1/films", data=form, headers={"Origin": origin}).status_code == 403


def test_a_shared_desk_does_not_start_without_a_secret_key(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(SettingError, match="CXR_SECRET_KEY"):
        create_app(Settings(instance_path=str(tmp_path)), readers=Readers.holding(reader))


def test_a_shared_desk_neither_writes_nor_serves_heatmap_files(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(SettingError, match="CXR_HEATMAP_FILES"):
        create_app(
            Settings(instance_path=str(tmp_path), secret_key="k", heatmap_files=True), readers=Readers.holding(reader)
        )
    with open_desk(tmp_path, reader, local=False, secret_key="k") as desk:
        for path in DETOURS:
            assert desk.client.get(path).status_code == 404, path
        with desk.client.get("/static/./desk.css") as answer:
            assert answer.status_code == 200


@pytest.mark.parametrize("path", DETOURS)
def test_no_browser_keeps_a_heatmap_file(desk: Desk, path: str) -> None:
    with desk.client.get(path) as answer:
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


def test_every_answer_carries_the_security_headers(desk: Desk, film_png: bytes) -> None:
    page = desk.upload(("a.png", film_png)).location
    for address in ("/", page, f"{page}/film.png", f"{page}/pixels", "/api/v1/films", "/nowhere", "/static/desk.css"):
        with desk.client.get(address) as answer:
            headers = answer.headers
        assert headers["Content-Security-Policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        )
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert (headers["Cache-Control"] == "no-store") == (not address.startswith("/static"))


def test_cookies_are_secure_over_https_and_work_over_http(desk: Desk) -> None:
    assert "Secure" not in desk.client.get("/").headers["Set-Cookie"]
    desk.client.delete_cookie("cxr_session")
    cookie = desk.client.get("/", base_url="https://localhost").headers["Set-Cookie"]
    assert "Secure" in cookie and "HttpOnly" in cookie and "SameSite=Lax" in cookie


def test_a_form_works_over_https_too(desk: Desk, film_png: bytes) -> None:
    token = re.search(r'csrf_token" value="([^"]+)', desk.client.get("/", base_url="https://localhost").text)
    assert token
    form = {"csrf_token": token[1], "film": (io.BytesIO(film_png), "a.png")}
    assert desk.client.post("/films", data=form, base_url="https://localhost").status_code == 303


def test_the_local_desk_keeps_its_key_and_nobody_else_can_read_it(desk: Desk) -> None:
    key = desk.folder / "instance" / "secret_key"
    assert key.read_text() == desk.app.secret_key
    assert key.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in key.parent.iterdir() if path.is_file() and "sqlite" not in path.name] == [key.name]


def test_an_empty_key_file_is_made_anew(tmp_path: Path, reader: Reader) -> None:
    (tmp_path / "instance").mkdir()
    key = tmp_path / "instance" / "secret_key"
    key.touch()
    with open_desk(tmp_path, reader) as desk:
        assert len(key.read_text()) > 30 and desk.app.secret_key == key.read_text()
    with open_desk(tmp_path, reader) as again:
        assert again.app.secret_key == desk.app.secret_key


def test_no_template_holds_a_style_or_a_script_of_its_own() -> None:
    served = {*(ROOT / "templates").glob("*.html")} - {ROOT / "templates" / "evaluation.html"}  # a file of its own
    for template in served:
        markup = template.read_text("utf-8")
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|https?://", markup), template.name


def test_every_page_says_that_it_is_no_medical_device(desk: Desk, film_png: bytes) -> None:
    page = desk.upload(("a.png", film_png)).location
    for address in ("/", "/films", page, "/nowhere"):
        assert "Not a medical device" in desk.client.get(address).text
