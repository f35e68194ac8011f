//! Intake: what comes in raw and is run later, deliveries of sources and imports. Its doors, and the two loops behind them.

use crate::config::Config;
use crate::receiver::{Receivers, UnknownConnector, resolve};
use crate::tap::{self, Tap};
use crate::{deliveries, hooks, imports, router};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use contract::program::Limits;
use contract::sources::Sources;
use oltp::Oltp;
use runtime::Meter;
use runtime::auth::{Guard, Keys, Role, require};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa::OpenApi;

/// The doors' part of the API's description.
#[derive(OpenApi)]
#[openapi(paths(
    hooks::post,
    deliveries::list,
    deliveries::standing,
    deliveries::get,
    deliveries::replay,
    deliveries::replay_many,
    imports::post,
    imports::list,
    imports::get,
    imports::failures,
    imports::cancel
))]
pub struct ApiDoc;

/// What the doors and the loops share. Cheap to clone.
#[derive(Clone)]
pub struct Intake {
    pub(crate) oltp: Oltp,
    pub(crate) meter: Meter,
    pub(crate) config: Arc<Config>,
    pub(crate) tap: Tap,
    pub(crate) receivers: Arc<Receivers>,
    /// Room for deliveries that are being taken in.
    pub(crate) deliveries: Arc<Semaphore>,
    /// Room for imports that are being received.
    pub(crate) receiving: Arc<Semaphore>,
    /// Wakes the router.
    pub(crate) delivered: Arc<Notify>,
    /// Wakes whoever runs imports.
    pub(crate) imported: Arc<Notify>,
}

impl Intake {
    /// Opens the sources of a deployment. Secrets are looked up now, by the places that the contracts name.
    ///
    /// # Errors
    /// When a source has a connector that this program does not have.
    pub fn open(oltp: Oltp, meter: Meter, config: &Config, sources: &Sources) -> Result<Self, UnknownConnector> {
        let receivers = Receivers::open(sources, Self::limits(config), &resolve)?;
        Ok(Self::with(oltp, meter, config, receivers))
    }

    /// What programs of contracts may take.
    #[must_use]
    pub fn limits(config: &Config) -> Limits {
        Limits {
            steps: config.inbox.program_steps_max,
            time: Duration::from_millis(config.inbox.program_ms_max),
            outputs: config.inbox.commands_max,
            depth: config.inbox.depth_max,
            ..Limits::default()
        }
    }

    /// An intake of given receivers.
    #[must_use]
    pub fn with(oltp: Oltp, meter: Meter, config: &Config, receivers: Receivers) -> Self {
        Self {
            oltp,
            tap: Tap::new(config, meter.clone()),
            meter,
            deliveries: Arc::new(Semaphore::new(config.inbox.deliveries_max)),
            receiving: Arc::new(Semaphore::new(config.imports.receiving_max)),
            config: Arc::new(config.clone()),
            receivers: Arc::new(receivers),
            delivered: Arc::default(),
            imported: Arc::default(),
        }
    }

    /// The doors: hooks, which know their callers by themselves; the inbox and imports, each behind its role. Has no fallback.
    pub fn router(&self) -> Router {
        let keys: Arc<dyn Keys> = Arc::new(self.oltp.clone());
        let behind = |routes: Router<Self>, role, scope: &'static str| {
            let guard = Guard { keys: Arc::clone(&keys), role, scope: scope.into() };
            // The last is asked first.
            routes
                .route_layer(from_fn_with_state(self.tap.clone(), tap::turn))
                .route_layer(from_fn_with_state(guard, require))
        };
        let hooks = Router::new().route("/hooks/{connector}/{account}", post(hooks::post));
        let readers = Router::new()
            .route("/api/v1/inbox", get(deliveries::list))
            .route("/api/v1/inbox/standing", get(deliveries::standing))
            .route("/api/v1/inbox/{id}", get(deliveries::get));
        let writers = Router::new()
            .route("/api/v1/imports", post(imports::post).get(imports::list))
            .route("/api/v1/imports/{id}", get(imports::get))
            .route("/api/v1/imports/{id}/failures", get(imports::failures))
            .route("/api/v1/imports/{id}/cancel", post(imports::cancel));
        let admins = Router::new()
            .route("/api/v1/inbox/replay", post(deliveries::replay_many))
            .route("/api/v1/inbox/{id}/replay", post(deliveries::replay));
        Router::new()
            .merge(hooks)
            .merge(behind(readers, Role::Reader, "inbox:read"))
            .merge(behind(writers, Role::Writer, "imports:write"))
            .merge(behind(admins, Role::Admin, "inbox:write"))
            // Each door has limits of its own.
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
    }

    /// Routes deliveries until told to stop.
    ///
    /// # Errors
    /// Never: a store that is away is waited for.
    pub async fn route(self, stop: CancellationToken) -> Result<(), Infallible> {
        router::run(self, stop).await
    }

    /// Runs imports until told to stop.
    ///
    /// # Errors
    /// Never: a store that is away is waited for.
    pub async fn run_imports(self, stop: CancellationToken) -> Result<(), Infallible> {
        imports::run(self, stop).await
    }
}
