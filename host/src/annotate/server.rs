//! The server of the page, on loopback unless told otherwise.
//!
//! Everything that computes or waits for a disk runs beside the one thread that answers.

mod answers;
mod assets;
mod connections;
mod guard;
mod tiles;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{get, post};

use self::connections::Connections;
use self::guard::Guard;
use self::tiles::Tiles;
use super::label_files::{UNLABELLED, etag};
use super::learn::lock;
use super::live::{Command, Predictor, Shared, Trainer};
use super::project::Project;
use crate::data::pool::PatchReader;
use crate::error::{Error, Result};
use crate::network::model::Model;

/// What every answer may need.
struct App {
    /// Tells the project from others that may be served at the same address.
    id: String,
    project: Arc<Mutex<Project>>,
    tiles: Tiles,
    shared: Arc<Shared>,
    trainer: Trainer,
    predictor: Predictor,
    /// When patches were set to done, since the server started.
    done: Mutex<Vec<Instant>>,
}

impl App {
    fn lock(&self) -> MutexGuard<'_, Project> {
        lock(&self.project)
    }

    /// Tells the trainer what is labelled now.
    fn labels_changed(&self, project: &mut Project) -> Result<()> {
        self.trainer.tell(Command::Labels(project.person()?));
        Ok(())
    }
}

/// A server that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    app: Arc<App>,
    guard: Arc<Guard>,
}

/// Unlabelled patches on which batch norm's statistics are measured for each network that is
/// published: as many as are normalised together.
const STATISTICS: usize = 16;

impl Server {
    /// Listens at an address, and starts the threads that train and predict, each on a model of its
    /// own. Port 0 is any free one. Other addresses than loopback are answered to those alone who
    /// bring the token that [`url`](Self::url) has.
    ///
    /// # Errors
    /// If the address is taken, or the volume or the last network can't be read.
    pub fn bind(
        project: Project,
        address: SocketAddr,
        mut trainer: Model,
        predictor: Model,
    ) -> Result<Self> {
        let failed = |e| Error::io(project.path(), "can't listen", e);
        let listener = TcpListener::bind(address).map_err(|e| {
            Error::Usage(format!("can't listen at {address}: {e}; choose another --port"))
        })?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let shared = Arc::new(Shared::new());
        let tiles = Tiles::new(Arc::clone(project.raw()))?;
        let (reader, unlabelled) = (project.reader(), unlabelled(&project)?);
        match project.last_network()? {
            Some(last) => {
                trainer.set_weights(&last.weights)?;
                shared.publish(last.weights);
            }
            None => trainer.set_weights(&trainer.net().init(project.config().seed))?,
        }
        let id = identity(&project, &reader)?;
        let project = Arc::new(Mutex::new(project));
        let predictor = Predictor::start(predictor, lock(&project).reader(), Arc::clone(&shared))?;
        let trainer =
            Trainer::start(Arc::clone(&project), trainer, reader, unlabelled, Arc::clone(&shared))?;
        let done = Mutex::new(Vec::new());
        let app = Arc::new(App { id, project, tiles, shared, trainer, predictor, done });
        Ok(Self { listener, app, guard: Arc::new(Guard::new(address)) })
    }

    /// Where to open the page.
    pub fn url(&self) -> String {
        self.guard.url()
    }

    /// Answers until `stop` says to end. A round under way is stopped; the project is as before it.
    ///
    /// # Errors
    /// If the system refuses to listen.
    pub fn serve(self, stop: impl Fn() -> bool) -> Result<()> {
        let failed = |e| Error::io(std::path::Path::new("the server"), "can't start", e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(8)
            .build()
            .map_err(failed)?;
        let router = router(Arc::clone(&self.app), self.guard);
        let done = runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(self.listener)?;
            let connections = Connections::new(listener);
            let serving = tokio::spawn(axum::serve(connections, router).into_future());
            while !stop() && !serving.is_finished() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        });
        runtime.shutdown_timeout(Duration::from_secs(2));
        done.map_err(failed)
    }
}

fn router(app: Arc<App>, guard: Arc<Guard>) -> Router {
    // The labels of a patch, and nothing larger.
    let body = app.lock().config().patch.pow(2) + 1024;
    Router::new()
        .route("/", get(assets::index))
        .route("/page/{name}", get(assets::asset))
        .route("/api/project", get(answers::project))
        .route("/api/state", get(answers::state))
        .route("/api/tile", get(answers::tile))
        .route("/api/labels", get(answers::labels).put(answers::put_labels))
        .route("/api/patch", post(answers::post_patch).delete(answers::delete_patch))
        .route("/api/prediction", get(answers::prediction))
        .route("/api/map", get(answers::map))
        .route("/api/next", post(answers::next))
        .route("/api/learn", post(answers::learn))
        .route("/api/cancel", post(answers::cancel))
        .layer(from_fn_with_state(Arc::clone(&app), answers::of_this_project))
        .with_state(app)
        .layer(DefaultBodyLimit::max(body))
        .layer(from_fn(answers::in_json))
        .layer(from_fn_with_state(guard, guard::check))
}

/// Some patches of the pool, evenly from all of it.
fn unlabelled(project: &Project) -> Result<Vec<f32>> {
    let (pool, patch, reader) = (project.pool(), project.config().patch, project.reader());
    let step = pool.len().div_ceil(STATISTICS).max(1);
    let mut x = Vec::new();
    pool.iter().step_by(step).try_for_each(|&at| reader.read(at, patch, &mut x))?;
    Ok(x)
}

/// What projects differ in: where their patches lie, and what the first of them shows.
fn identity(project: &Project, reader: &PatchReader) -> Result<String> {
    let mut bytes = Vec::new();
    for at in project.pool() {
        [at.z, at.y, at.x].iter().for_each(|side| bytes.extend((*side as u64).to_le_bytes()));
    }
    let mut x = Vec::new();
    project.pool().first().map_or(Ok(()), |&at| reader.read(at, project.config().patch, &mut x))?;
    x.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
    Ok(etag(&bytes))
}

/// Whether nobody has labelled a pixel.
fn is_untouched(labels: &[u8]) -> bool {
    labels.iter().all(|&label| label == UNLABELLED)
}
