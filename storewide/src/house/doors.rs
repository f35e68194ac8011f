//! The three listeners: API and console, gateway, health.

use super::facts::HouseFacts;
use super::{Parts, operate};
use crate::datadir::Running;
use crate::settings::Settings;
use access::Access;
use anyhow::{Context, Result};
use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use model::Layer;
use runtime::auth::Keys;
use runtime::{Tasks, http};
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
    };
    let keys: Arc<dyn Keys> = Arc::new(parts.oltp.clone());
    access::router(access)
        .merge(serving::router(parts.serving.clone(), Arc::clone(&keys)))
        .merge(decisions::router(parts.oltp.clone(), Arc::clone(&keys)))
        .merge(operate::router(parts))
        .merge(console::router(Arc::new(HouseFacts::new(parts.clone())), keys, settings.listen.api.ip().is_loopback()))
}

/// The description of all doors of the API's listener.
pub(super) fn openapi() -> OpenApi {
    let mut document = access::openapi();
    document.merge(serving::ApiDoc::openapi());
    document.merge(decisions::ApiDoc::openapi());
    document.merge(operate::ApiDoc::openapi());
    document
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
                let store = parts.oltp.position().await.is_ok();
                let gateway = parts.gateway.is_ready();
                let status = if store && gateway { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                (status, axum::Json(serde_json::json!({ "oltp": store, "gateway": gateway })))
            }
        })
    };
    Router::new().route("/healthz", get(|| async { "ok" })).route("/readyz", ready).route("/metrics", metrics)
}
