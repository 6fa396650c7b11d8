//! What the server says to each request. Errors are `{"error": "a sentence"}`.

use std::io::ErrorKind;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Bytes, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{App, is_untouched};
use crate::annotate::label_files::etag;
use crate::annotate::learn::require_both_classes;
use crate::annotate::live::{Area, Command, Status, Work};
use crate::annotate::marks::State as Mark;
use crate::annotate::project::Project;
use crate::data::pool::{Position, Region};
use crate::data::volume::FOREGROUND;
use crate::error::{Error, Result};
use crate::learning::stopping::advice;

/// How long a question for news is kept waiting.
const PATIENCE: Duration = Duration::from_secs(10);
/// Rows and columns of a prediction at most.
const MOST: usize = 512;

type AppState = State<Arc<App>>;

/// Why a request has no answer.
pub(super) struct Refusal(StatusCode, Value);

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let status = match &error {
            Error::Usage(_) | Error::Input(_) => StatusCode::BAD_REQUEST,
            Error::Io { source, .. } if source.kind() == ErrorKind::StorageFull => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            Error::Io { source, .. } if source.kind() == ErrorKind::QuotaExceeded => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, json!({ "error": error.to_string() }))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, [(header::CONTENT_TYPE, "application/json")], self.1.to_string()).into_response()
    }
}

/// Turns what the library refuses with a text, or without one, into the form of all refusals.
pub(super) async fn in_json(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE);
    let is_json = kind.is_some_and(|kind| kind == "application/json");
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let (head, body) = response.into_parts();
    let text = to_bytes(body, 4096).await.unwrap_or_default();
    let text = match String::from_utf8_lossy(&text).trim() {
        "" => status.canonical_reason().unwrap_or("refused").to_lowercase(),
        text => text.to_string(),
    };
    let mut refusal = Refusal(status, json!({ "error": text })).into_response();
    if let Some(allowed) = head.headers.get(header::ALLOW) {
        refusal.headers_mut().insert(header::ALLOW, allowed.clone());
    }
    refusal
}

/// The header with the project that a page shows.
const PROJECT: &str = "x-askem-project";

/// Refuses a page that still shows another project, which was served here before.
pub(super) async fn of_this_project(
    State(app): AppState,
    request: Request,
    next: Next,
) -> Response {
    let shown = request.headers().get(PROJECT);
    if shown.is_none_or(|id| *id == *app.id) {
        return next.run(request).await;
    }
    let why = "another project is served here now; load the page anew";
    Refusal(StatusCode::CONFLICT, json!({ "error": why, "project": app.id })).into_response()
}

type Answer = std::result::Result<Response, Refusal>;

fn said(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}

/// Does work that may wait for a disk or a lock beside the thread that answers.
async fn beside<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> Result<T> + Send + 'static,
) -> std::result::Result<T, Refusal> {
    let app = Arc::clone(app);
    let done = tokio::task::spawn_blocking(move || work(&app)).await;
    let lost = |_| Refusal::from(Error::Input("the work for this answer failed".into()));
    Ok(done.map_err(lost)??)
}

pub(super) async fn project(State(app): AppState) -> Answer {
    let told = beside(&app, |app| {
        let version = app.shared.status().patches;
        let seconds = seconds_per_patch(app);
        let mut project = app.lock();
        let mut patches = Vec::new();
        for asked in project.patches() {
            let labels = project.labels(asked.id)?;
            let count = |is: fn(&u8) -> bool| labels.iter().filter(|l| is(l)).count();
            let pixels = labels.len() as f64;
            patches.push(json!({
                "id": asked.id, "z": asked.at.z, "y": asked.at.y, "x": asked.at.x,
                "query": asked.query, "state": asked.state, "score": asked.score,
                "touched": !is_untouched(labels),
                "known": count(|&l| l <= FOREGROUND) as f64 / pixels,
                "foreground": count(|&l| l == FOREGROUND) as f64 / pixels,
                "etag": etag(labels),
            }));
        }
        let number = project.query();
        let all = project.patches();
        let ids: Vec<u32> = all.iter().filter(|a| a.query == Some(number)).map(|a| a.id).collect();
        let path = std::path::absolute(project.path()).unwrap_or_default();
        Ok(json!({
            "id": app.id,
            "name": path.file_name().unwrap_or_default().to_string_lossy(),
            "shape": project.raw().shape(),
            "patch": project.config().patch,
            "voxel_nm": project.raw().voxel_nm(),
            "strategy": project.config().strategy,
            "query": { "number": number, "ids": ids },
            "patches": patches,
            "seconds_per_patch": seconds,
            "version": version,
        }))
    });
    Ok(said(&told.await?))
}

/// The median time between two patches that were done one after the other.
fn seconds_per_patch(app: &App) -> Option<f64> {
    let done = app.done.lock().unwrap_or_else(PoisonError::into_inner);
    let mut between: Vec<f64> =
        done.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    between.sort_by(f64::total_cmp);
    between.get(between.len() / 2).copied()
}

#[derive(Deserialize)]
pub(super) struct Since {
    #[serde(default)]
    since: u64,
}

pub(super) async fn state(State(app): AppState, Query(Since { since }): Query<Since>) -> Answer {
    let mut changes = app.shared.subscribe();
    // No change in time is an answer too.
    let is_new = |status: &Status| status.version > since || status.version == 0 && since == 0;
    let _ = tokio::time::timeout(PATIENCE, changes.wait_for(is_new)).await;
    let status = app.shared.status();
    let told = beside(&app, move |app| told_of(&status, since, &mut app.lock()));
    Ok(said(&told.await?))
}

fn told_of(status: &Status, since: u64, project: &mut Project) -> Result<Value> {
    let mut strokes = Vec::new();
    for &(_, id) in status.strokes.iter().filter(|(version, _)| *version > since) {
        // A patch of one's own may have been removed since.
        if project.patches().iter().any(|patch| patch.id == id) {
            strokes.push(json!({ "id": id, "etag": project.etag(id)? }));
        }
    }
    let records = project.records();
    let curve: Vec<Value> = records
        .iter()
        .map(|r| {
            json!({
                "iteration": r.iteration, "labelled": r.labelled,
                "unseen_jaccard": r.unseen_jaccard, "loss": r.loss,
            })
        })
        .collect();
    let stop = advice(records).map(|advice| {
        let what = if advice.could_stop { "could_stop" } else { "go_on" };
        json!({ "text": advice.text, "advice": what, "changed": advice.changed })
    });
    let patches = if status.labelled == 1 { "patch" } else { "patches" };
    let text = match status.work {
        Work::Idle if status.network == 0 => "Waiting for the first labels".to_string(),
        Work::Idle => "The network has settled".to_string(),
        Work::Waiting => "Waiting for labels of foreground and background".to_string(),
        Work::Live => format!("Learning from {} {patches}", status.labelled),
        Work::Learning => "Training to the end".to_string(),
        Work::Choosing => "Choosing the next patches".to_string(),
        Work::Ahead => "Looking for the next patches meanwhile".to_string(),
    };
    Ok(json!({
        "version": status.version,
        "patches_version": status.patches,
        "strokes": strokes,
        "network": {
            "version": status.network, "steps": status.steps,
            "loss": status.loss.filter(|loss| loss.is_finite()),
            "labelled_patches": status.labelled,
        },
        "work": {
            "kind": status.work, "text": text,
            "done": status.done, "seconds_left": status.seconds_left,
        },
        "next_ready": status.is_next_ready,
        "losses": status.losses,
        "curve": curve,
        "stop": stop,
        "problem": status.problem,
    }))
}

#[derive(Deserialize)]
pub(super) struct TileOf {
    z: usize,
    y: usize,
    x: usize,
    scale: usize,
}

pub(super) async fn tile(State(app): AppState, Query(at): Query<TileOf>) -> Answer {
    let png = beside(&app, move |app| app.tiles.png(at.z, at.y, at.x, at.scale)).await?;
    // Another project may be served at the same address later.
    let headers = [(header::CONTENT_TYPE, "image/png"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, png).into_response())
}

#[derive(Deserialize)]
pub(super) struct Id {
    id: u32,
}

pub(super) async fn labels(State(app): AppState, Query(Id { id }): Query<Id>) -> Answer {
    let found = beside(&app, move |app| Ok(app.lock().labels(id)?.to_vec()));
    let labels = match found.await {
        Err(Refusal(StatusCode::BAD_REQUEST, why)) => {
            return Err(Refusal(StatusCode::NOT_FOUND, why));
        }
        other => other?,
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_string()),
        (header::CACHE_CONTROL, "no-store".to_string()),
        (header::ETAG, format!("\"{}\"", etag(&labels))),
    ];
    Ok((headers, labels).into_response())
}

pub(super) async fn put_labels(
    State(app): AppState,
    Query(Id { id }): Query<Id>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let known = headers.get(header::IF_MATCH).and_then(|value| value.to_str().ok());
    let Some(known) = known.map(|etag| etag.trim_matches('"').to_string()) else {
        let why = "the header If-Match is missing, which says what labels were read";
        return Err(Refusal(StatusCode::PRECONDITION_REQUIRED, json!({ "error": why })));
    };
    let done = beside(&app, move |app| {
        let mut project = app.lock();
        let now = project.etag(id)?;
        if now != known {
            return Ok(Err(now));
        }
        let etag = project.set_labels(id, &body)?;
        app.labels_changed(&mut project)?;
        app.shared.tell_stroke(id);
        Ok(Ok(etag))
    });
    match done.await? {
        Ok(etag) => Ok(said(&json!({ "etag": etag }))),
        Err(etag) => {
            let why = "the patch was changed in another window; load its labels anew";
            let told = json!({ "error": why, "etag": etag });
            Err(Refusal(StatusCode::PRECONDITION_FAILED, told))
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Change {
    id: Option<u32>,
    state: Option<Mark>,
    z: Option<usize>,
    y: Option<usize>,
    x: Option<usize>,
}

pub(super) async fn post_patch(State(app): AppState, Query(change): Query<Change>) -> Answer {
    let done = beside(&app, move |app| {
        let mut project = app.lock();
        let told = match change {
            Change { id: Some(id), state: Some(state), .. } => {
                project.set_state(id, state)?;
                if state == Mark::Done {
                    app.done.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
                }
                app.labels_changed(&mut project)?;
                json!({ "etag": project.etag(id)? })
            }
            Change { id: None, z: Some(z), y: Some(y), x: Some(x), .. } => {
                json!({ "id": project.add_own(Position { z, y, x })? })
            }
            _ => return Err(Error::Usage("give id and state, or z, y and x".into())),
        };
        drop(project);
        app.shared.change(|status| status.patches += 1);
        Ok(told)
    });
    Ok(said(&done.await?))
}

pub(super) async fn delete_patch(State(app): AppState, Query(Id { id }): Query<Id>) -> Answer {
    let done = beside(&app, move |app| {
        app.lock().remove_own(id)?;
        app.shared.change(|status| status.patches += 1);
        Ok(json!({}))
    });
    Ok(said(&done.await?))
}

#[derive(Deserialize)]
pub(super) struct PredictionOf {
    z: usize,
    y: usize,
    x: usize,
    h: usize,
    w: usize,
    kind: Option<String>,
}

pub(super) async fn prediction(State(app): AppState, Query(of): Query<PredictionOf>) -> Answer {
    let [depth, height, width] = app.tiles.shape();
    let fits = |from: usize, side: usize, end: usize| {
        (1..=MOST).contains(&side) && from.checked_add(side).is_some_and(|last| last <= end)
    };
    if of.z >= depth || !fits(of.y, of.h, height) || !fits(of.x, of.w, width) {
        let why = format!("an area of 1 to {MOST} rows and columns within the volume is predicted");
        return Err(Error::Usage(why).into());
    }
    let region = Region { z: of.z..of.z + 1, y: of.y..of.y + of.h, x: of.x..of.x + of.w };
    let uncertainty = match of.kind.as_deref() {
        None | Some("foreground") => false,
        Some("uncertainty") => true,
        Some(_) => {
            return Err(Error::Usage("kind is foreground or uncertainty".into()).into());
        }
    };
    let area = Area { z: of.z, area: region, uncertainty };
    let Some((version, pixels)) = app.predictor.predict(area).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_string()),
        (header::CACHE_CONTROL, "no-store".to_string()),
        (header::HeaderName::from_static("x-network"), version.to_string()),
    ];
    Ok((headers, pixels).into_response())
}

pub(super) async fn map(State(app): AppState) -> Answer {
    let told = beside(&app, |app| {
        let of = |(at, score): (Position, f32)| json!({ "z": at.z, "y": at.y, "x": at.x, "score": score });
        let patches: Vec<Value> = app.shared.scores().into_iter().map(of).collect();
        Ok(json!({ "patches": patches }))
    });
    Ok(said(&told.await?))
}

pub(super) async fn next(State(app): AppState) -> Answer {
    start(&app, Command::Next).await
}

pub(super) async fn learn(State(app): AppState) -> Answer {
    start(&app, Command::Learn).await
}

/// Starts a round, if there is something to learn from and none goes on.
async fn start(app: &Arc<App>, command: Command) -> Answer {
    let asked = beside(app, |app| require_both_classes(&app.lock().person()?)).await;
    if let Err(Refusal(_, why)) = asked {
        return Err(Refusal(StatusCode::CONFLICT, why));
    }
    if [Work::Learning, Work::Choosing].contains(&app.shared.status().work) {
        let why = json!({ "error": "a round goes on; wait for it or cancel it" });
        return Err(Refusal(StatusCode::CONFLICT, why));
    }
    app.shared.set_cancel(false);
    app.shared.change(|status| status.work = Work::Choosing);
    app.trainer.tell(command);
    Ok(said(&json!({})))
}

pub(super) async fn cancel(State(app): AppState) -> Answer {
    app.shared.set_cancel(true);
    Ok(said(&json!({})))
}
