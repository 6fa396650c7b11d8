//! The page's files, which lie in the program.

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

/// A file of the page: its name, its type and its text.
macro_rules! files {
    ($($name:literal as $kind:ident),* $(,)?) => {
        [$(($name, $kind, include_str!(concat!("../page/", $name)))),*]
    };
}

const JS: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// What the page loads, below `/page/`.
static FILES: &[(&str, &str, &str)] = &files![
    "api.js" as JS,
    "commands.js" as JS,
    "draw.js" as JS,
    "keys.js" as JS,
    "labels.js" as JS,
    "main.js" as JS,
    "map.js" as JS,
    "network.js" as JS,
    "panel.js" as JS,
    "pointer.js" as JS,
    "proposal.js" as JS,
    "raster.js" as JS,
    "saver.js" as JS,
    "session.js" as JS,
    "settings.js" as JS,
    "storage.js" as JS,
    "style.css" as CSS,
    "tiles.js" as JS,
    "tools.js" as JS,
    "view.js" as JS,
];

static INDEX: &str = include_str!("../page/index.html");

pub(super) async fn index() -> Response {
    (
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")],
        INDEX,
    )
        .into_response()
}

pub(super) async fn asset(Path(name): Path<String>) -> Response {
    match FILES.iter().find(|(known, _, _)| *known == name) {
        Some((_, kind, text)) => {
            ([(header::CONTENT_TYPE, *kind), (header::CACHE_CONTROL, "no-cache")], *text)
                .into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
