//! The three listeners: API and console, gateway, health.

use super::facts::HouseFacts;
use super::{Parts, control, operate};
use crate::datadir::Running;
use crate::settings::Settings;
use access::Access;
use anyhow::{Context, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use model::Layer;
use runtime::auth::Keys;
use runtime::{LayerStatus, Tasks, http};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;

/// Opens all doors.
pub(super) async fn open(settings: &Settings, tasks: &Tasks, parts: &Parts) -> Result<Running> {
    let taken = |option| format!("the address is set with --{option}, or in the section [listen]");
    let api = http::bind(settings.listen.api).await.with_context(|| taken("api"))?;
    let gateway = http::bind(settings.listen.gateway).await.with_context(|| taken("gateway"))?;
    let health = http::bind(settings.listen.health).await.with_context(|| taken("health"))?;
    let running = Running {
        pid: std::process::id(),
        api: api.local_addr().context("API listener")?,
        gateway: gateway.local_addr().context("gateway listener")?,
        health: health.local_addr().context("health listener")?,
    };
    let stop = tasks.stop_of(Layer::Access);
    tasks.spawn(Layer::Access, "http", http::serve(api, trusted(settings, parts), stop));
    let stop = tasks.stop_of(Layer::Gateway);
    tasks.spawn(Layer::Gateway, "http", http::serve(gateway, parts.gateway.router(), stop));
    let stop = tasks.stop_of(Layer::Bus);
    tasks.spawn(Layer::Bus, "health", http::serve(health, watch(parts), stop));
    Ok(running)
}

/// API and console.
fn trusted(settings: &Settings, parts: &Parts) -> Router {
    let access = Access {
        oltp: parts.oltp.clone(),
        meter: parts.telemetry.meter(Layer::Access),
        config: settings.access.clone(),
        openapi: openapi(),
        intake: parts.intake.clone(),
    };
    let keys: Arc<dyn Keys> = Arc::new(parts.oltp.clone());
    access::router(access)
        .merge(serving::router(parts.serving.clone(), Arc::clone(&keys)))
        .merge(decisions::router(parts.oltp.clone(), Arc::clone(&keys)))
        .merge(operate::router(parts))
        .merge(control::router(parts))
        .merge(console::router(Arc::new(HouseFacts::new(parts.clone())), keys, settings.listen.api.ip().is_loopback()))
}

/// The description of all doors of the API's listener.
pub(super) fn openapi() -> OpenApi {
    let mut document = access::openapi();
    document.merge(access::ApiDoc::openapi());
    document.merge(serving::ApiDoc::openapi());
    document.merge(decisions::ApiDoc::openapi());
    document.merge(operate::ApiDoc::openapi());
    document.merge(control::ApiDoc::openapi());
    access::complete(&mut document);
    document
}

/// Whether each layer is at work: the store answers, the gateway knows its keys, the loops have found their place in the log.
async fn ready_layers(parts: &Parts) -> BTreeMap<Layer, bool> {
    let placed = |layer: &LayerStatus| !layer.position.is_empty();
    let mut ready: BTreeMap<Layer, bool> =
        parts.telemetry.status().iter().map(|layer| (layer.layer, placed(layer))).collect();
    let serving = [&parts.serving.analytics_progress, &parts.serving.profiles_progress];
    let store = parts.oltp.position().await.is_ok();
    ready.extend([
        (Layer::Access, store),
        (Layer::Oltp, store),
        (Layer::Gateway, parts.gateway.is_ready()),
        // The log is open, or nobody could ask.
        (Layer::Bus, true),
        (Layer::Serving, serving.iter().all(|progress| progress.as_of().complete_to.is_some())),
    ]);
    ready
}

/// Health and metrics: no keys, so nothing but numbers.
fn watch(parts: &Parts) -> Router {
    let telemetry = parts.telemetry.clone();
    let metrics = get(move || {
        let text = telemetry.prometheus();
        async move { ([("content-type", "text/plain; version=0.0.4")], text) }
    });
    let ready = {
        let parts = parts.clone();
        get(move || {
            let parts = parts.clone();
            async move {
                let layers = ready_layers(&parts).await;
                let all = layers.values().all(|ready| *ready);
                (if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, axum::Json(layers))
            }
        })
    };
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", ready).route("/metrics", metrics)
}
