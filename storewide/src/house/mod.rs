//! The house: all layers in one process, each started by a function of its own, stopped in order.

mod control;
mod doors;
mod facts;
mod operate;
mod pulse;
mod stores;

use crate::audit::{self, Report, Sides};
use crate::datadir::{Lock, Running};
use crate::settings::Settings;
use access::Intake;
use anyhow::Result;
use bus::Bus;
use contract::playbooks::Playbooks;
use contract::sources::Sources;
use contract::{Definitions, events};
use gateway::Gateway;
use model::{Layer, Tokeniser};
use oltp::Oltp;
use runtime::clock::FixedClock;
use runtime::{Clock, SystemClock, Tasks, Telemetry};
use serving::Serving;
use std::sync::Arc;
use uuid::Uuid;

/// A running house.
pub struct House {
    settings: Settings,
    tasks: Tasks,
    parts: Parts,
    running: Running,
    _lock: Lock,
}

/// What the layers share.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) telemetry: Telemetry,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) oltp: Oltp,
    pub(crate) intake: Intake,
    pub(crate) gateway: Gateway,
    pub(crate) serving: Serving,
    pub(crate) store_config: engine_postgres::Config,
    /// Which store it is.
    pub(crate) deployment: Uuid,
}

impl House {
    /// Starts all layers; returns when all doors are open.
    ///
    /// # Errors
    /// When the data directory is in use or belongs to another store, an engine does not start, a definition is not valid, or
    /// an address is taken.
    pub async fn start(settings: Settings) -> Result<Self> {
        Self::start_with(settings, start_decisions).await
    }

    /// Starts all layers but decisions: a house that is started to be asked contacts nobody.
    ///
    /// # Errors
    /// As [`House::start`].
    pub async fn start_without_decisions(settings: Settings) -> Result<Self> {
        Self::start_with(settings, |_, _, _| Ok(())).await
    }

    async fn start_with(
        settings: Settings,
        decisions: impl FnOnce(&Settings, &Tasks, &Parts) -> Result<()>,
    ) -> Result<Self> {
        let lock = settings.data.lock()?;
        settings.data.forget_running();
        let tasks = Tasks::default();
        let parts = match assemble(&settings, &tasks).await {
            Ok(parts) => parts,
            Err(error) => {
                tasks.stop().await;
                return Err(error);
            }
        };
        let opened = async {
            start_pipeline(&settings, &tasks, &parts)?;
            decisions(&settings, &tasks, &parts)?;
            let running = doors::open(&settings, &tasks, &parts).await?;
            settings.data.note_running(&running)?;
            Ok(running)
        };
        match opened.await {
            Ok(running) => Ok(Self { settings, tasks, parts, running, _lock: lock }),
            Err(error) => {
                tasks.stop().await;
                Err(error)
            }
        }
    }

    /// Where it listens.
    #[must_use]
    pub const fn running(&self) -> &Running {
        &self.running
    }

    /// Its meters.
    #[must_use]
    pub const fn telemetry(&self) -> &Telemetry {
        &self.parts.telemetry
    }

    /// Its bus.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn Bus> {
        Arc::clone(&self.parts.bus)
    }

    /// Its store.
    #[must_use]
    pub fn oltp(&self) -> Oltp {
        self.parts.oltp.clone()
    }

    /// Its serving layer.
    #[must_use]
    pub const fn serving(&self) -> &Serving {
        &self.parts.serving
    }

    /// Resolves when a task has failed for good.
    pub async fn failed(&self) -> String {
        self.tasks.failed().await
    }

    /// Compares the store with the serving layer.
    ///
    /// # Errors
    /// When a side cannot be read.
    pub async fn audit(&self) -> Result<Report> {
        audit::run(&self.parts.sides()).await
    }

    /// Stops: doors first, stores last.
    pub async fn stop(&self) {
        self.settings.data.forget_running();
        self.tasks.stop().await;
    }
}

impl Parts {
    pub(crate) fn sides(&self) -> Sides {
        Sides { oltp: self.oltp.clone(), bus: Arc::clone(&self.bus), serving: self.serving.clone() }
    }
}

/// Starts the engines and builds what the layers share.
async fn assemble(settings: &Settings, tasks: &Tasks) -> Result<Parts> {
    let telemetry = Telemetry::default();
    for layer in Layer::ALL {
        // Made in the order of a signal, so that a layer that has done nothing yet is shown too.
        drop(telemetry.meter(layer));
    }
    let clock: Arc<dyn Clock> = match settings.clock.fixed {
        Some(time) => Arc::new(FixedClock(time)),
        None => Arc::new(SystemClock),
    };
    let tokeniser = Tokeniser::new(settings.data.secret("token.key")?.as_bytes());
    // The three engines start side by side: PostgreSQL takes longest.
    let (log, truth, analytics) = tokio::join!(
        stores::log(settings, tasks, &telemetry),
        stores::truth(settings, tasks, &telemetry, &tokeniser),
        stores::analytics(settings)
    );
    let (log, (oltp, store_config, deployment), analytics) = (log?, truth?, analytics?);
    let bus: Arc<dyn Bus> = log.bus();
    let contracts = match &settings.contracts.dir {
        Some(dir) => events::Registry::load(&dir.join("events"))?,
        None => events::Registry::embedded(),
    };
    let sources = match &settings.contracts.dir {
        Some(dir) => Sources::load(dir)?,
        None => Sources::embedded(),
    };
    let intake = Intake::open(oltp.clone(), telemetry.meter(Layer::Access), &settings.access, &sources)?;
    let gateway = Gateway::new(
        settings.gateway.clone(),
        Arc::clone(&bus),
        tokeniser.clone(),
        Arc::new(contracts),
        Arc::clone(&clock),
        telemetry.meter(Layer::Gateway),
    );
    let serving = stores::serving(settings, &telemetry, &tokeniser, &log, analytics)?;
    Ok(Parts { telemetry, clock, bus, oltp, intake, gateway, serving, store_config, deployment })
}

/// Starts the loops that bring signals from the doors to the serving layer.
fn start_pipeline(settings: &Settings, tasks: &Tasks, parts: &Parts) -> Result<()> {
    let Parts { telemetry, clock, bus, .. } = parts;
    let meter = |layer| telemetry.meter(layer);
    let stop = |layer| tasks.stop_of(layer);

    let capture = capture::run(
        settings.capture.clone(),
        parts.store_config.clone(),
        Arc::clone(bus),
        meter(Layer::Capture),
        stop(Layer::Capture),
    );
    tasks.spawn(Layer::Capture, "stream", capture);

    let gateway = parts.gateway.clone();
    let stop_keys = stop(Layer::Gateway);
    tasks.spawn(Layer::Gateway, "write_keys", async move { gateway.follow_write_keys(stop_keys).await });

    let definitions = match &settings.contracts.dir {
        Some(dir) => Definitions::load(dir)?,
        None => Definitions::embedded(),
    };
    let processing = processing::run(
        settings.processing.clone(),
        Arc::clone(bus),
        Arc::new(definitions),
        Arc::clone(clock),
        meter(Layer::Processing),
        stop(Layer::Processing),
    );
    tasks.spawn(Layer::Processing, "fold", processing);

    tasks.spawn(Layer::Access, "router", parts.intake.clone().route(stop(Layer::Access)));
    tasks.spawn(Layer::Access, "imports", parts.intake.clone().run_imports(stop(Layer::Access)));

    stores::start_sinks(tasks, parts);
    tasks.spawn(Layer::Bus, "pulse", pulse::run(parts.clone(), stop(Layer::Bus)));
    Ok(())
}

/// Starts the loops that act.
fn start_decisions(settings: &Settings, tasks: &Tasks, parts: &Parts) -> Result<()> {
    let playbooks = match &settings.contracts.dir {
        Some(dir) => Playbooks::load(dir)?,
        None => Playbooks::embedded(),
    };
    let decisions = decisions::run(
        settings.decisions.clone(),
        Arc::clone(&parts.bus),
        parts.oltp.clone(),
        Arc::new(playbooks),
        Arc::clone(&parts.clock),
        parts.telemetry.meter(Layer::Decisions),
        tasks.stop_of(Layer::Decisions),
    );
    tasks.spawn(Layer::Decisions, "decide", decisions);
    Ok(())
}
