//! The first page: the way of a signal with live figures, and the last decisions.

use crate::facts::{DecisionLine, Quantiles};
use crate::snapshot::Snapshot;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use model::Layer;
use runtime::{LagUnit, LayerStatus};

/// The pages' style.
pub(crate) const STYLE: &str = include_str!("page.css");
/// The first page's script: refetches the figures every second.
pub(crate) const SCRIPT: &str = include_str!("page.js");

/// Decisions of these states may still have an outcome.
const OPEN: [&str; 2] = ["executing", "executed"];

/// A sail and a counter: the mark of the house, without a request of its own.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'%3E%3Crect width='32' height='32' rx='8' fill='%230f766e'/%3E%3Cpath d='M7 21c5 0 5-10 9-10s4 10 9 10' fill='none' stroke='white' stroke-width='3' stroke-linecap='round'/%3E%3C/svg%3E";

/// The frame of every page.
pub(crate) fn frame(title: &str, refresh: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                link rel="icon" href=(ICON);
                style { (PreEscaped(STYLE)) }
                @if refresh { noscript { meta http-equiv="refresh" content="2"; } }
            }
            body {
                a.skip href="#main" { "Skip to content" }
                (body)
                @if refresh { script { (PreEscaped(SCRIPT)) } }
            }
        }
    }
}

/// The head of every page.
pub(crate) fn head(here: &str, right: &Markup) -> Markup {
    let link =
        |path: &str, text: &str| html! { a href=(path) aria-current=[(here == path).then_some("page")] { (text) } };
    html! {
        header.top {
            a.brand href="/" {
                svg viewBox="0 0 32 32" aria-hidden="true" {
                    rect width="32" height="32" rx="8" {}
                    path d="M7 21c5 0 5-10 9-10s4 10 9 10" {}
                }
                span { "Storewide" }
            }
            nav aria-label="Pages" { (link("/", "Overview")) (link("/docs", "API")) a href="/openapi.json" { "OpenAPI" } }
            div.aside { (right) }
        }
    }
}

/// The whole first page, for whoever has shown a key or not.
pub(crate) fn first(snapshot: &Snapshot, keyed: bool) -> Markup {
    let right = html! {
        span.pill.live role="status" #live { "as loaded" }
        span.muted #about { "v" (snapshot.about.version) " · up " (duration(snapshot)) }
    };
    let body = html! {
        (head("/", &right))
        main #main {
            h1.hidden { "Storewide: the way of a signal" }
            (strip(snapshot))
            (map(&snapshot.layers))
            (decisions(snapshot))
            (troubles(&snapshot.layers))
        }
        footer {
            "Rates over the last seconds; lag in records, that of capture in bytes of the store's log. People appear under pseudonyms "
            "that change with every start. The same figures: " a href="/status.json" { "/status.json" } "."
            @if !keyed { " " a href="/key" { "With a key" } " the page also says what went wrong." }
        }
    };
    frame("Storewide", true, &body)
}

fn strip(snapshot: &Snapshot) -> Markup {
    let rate_in: f64 = snapshot
        .layers
        .iter()
        .filter(|layer| matches!(layer.layer, Layer::Access | Layer::Gateway))
        .map(|layer| layer.rate)
        .sum();
    let records = |layer: &&LayerStatus| layer.lag_unit == LagUnit::Records;
    let lag: u64 = snapshot.layers.iter().filter(records).map(|layer| layer.lag).sum();
    let errors: u64 = snapshot.layers.iter().map(|layer| layer.errors).sum();
    let (profile, sql) = snapshot.freshness.map_or((None, None), |freshness| (freshness.profile, freshness.sql));
    let as_of = snapshot.freshness.and_then(|freshness| freshness.as_of);
    html! {
        section.strip aria-label="In short" {
            (figure("in", "Signals in", &rate(rate_in), "a second, both doors"))
            (figure("profile", "Signal → profile", &middle(profile), &slow(profile)))
            (figure("sql", "Signal → SQL", &middle(sql), &slow(sql)))
            (figure("lag", "Behind", &whole(lag), "records, all layers"))
            (figure("errors", "Errors", &whole(errors), "since the start"))
            (figure("asof", "Complete up to", &as_of.map_or("–".to_owned(), clock), "UTC, the answers' as-of"))
        }
    }
}

fn figure(id: &str, label: &str, value: &str, note: &str) -> Markup {
    html! {
        div.figure {
            div.label { (label) }
            div.value id={ "f-" (id) } { (value) }
            div.note id={ "n-" (id) } { (note) }
        }
    }
}

/// What a layer does, in a few words.
const fn purpose(layer: Layer) -> &'static str {
    match layer {
        Layer::Access => "business facts in",
        Layer::Oltp => "the business truth",
        Layer::Capture => "every change, once",
        Layer::Gateway => "behaviour events in",
        Layer::Bus => "the shared log",
        Layer::Processing => "features, tags, intents",
        Layer::Serving => "profiles and answers",
        Layer::Decisions => "guarded actions",
    }
}

fn map(layers: &[LayerStatus]) -> Markup {
    let of = |layer: Layer| layers.iter().find(|status| status.layer == layer);
    let flows = |layer: Layer| of(layer).is_some_and(|status| status.rate > 0.0);
    let arrow = |class: &str, layer: Layer, label: &str| {
        html! {
            div class={ "arrow " (class) } data-flow=(layer) data-on[flows(layer)] aria-hidden="true" { i {} span { (label) } }
        }
    };
    html! {
        section.map aria-label="The way of a signal" {
            @for layer in Layer::ALL { (card(layer, of(layer))) }
            div.ghost.from-business { "POS · e-commerce" br; "ERP · CRM" }
            div.ghost.from-web { "web · apps" br; "any Segment SDK" }
            div.ghost.to-people { "people · agents" br; "SQL · BI" }
            (arrow("left i1", Layer::Access, "facts"))
            (arrow("left i2", Layer::Gateway, "events"))
            (arrow("down v1", Layer::Access, "commands"))
            (arrow("down v2", Layer::Gateway, "events"))
            (arrow("right h1", Layer::Capture, "WAL"))
            (arrow("right h2", Layer::Capture, "changes"))
            (arrow("both h3", Layer::Processing, "derived"))
            (arrow("down v3", Layer::Serving, "records"))
            (arrow("up v4", Layer::Decisions, "decisions"))
            (arrow("left long", Layer::Decisions, "intents, profiles, metrics"))
            (arrow("right h4", Layer::Serving, "answers"))
        }
    }
}

fn card(layer: Layer, status: Option<&LayerStatus>) -> Markup {
    let state = status.map_or("absent", |status| if status.rate > 0.0 { "flowing" } else { "idle" });
    let position = status.map_or("", |status| &status.position);
    let troubled = status.is_some_and(|status| status.errors > 0);
    html! {
        article.card id={ "l-" (layer) } data-layer=(layer) data-state=(state) {
            header { h2 { (layer) } span.state { (state) } }
            p.purpose { (purpose(layer)) }
            div.pulse {
                div.rate { b { (status.map_or("–".to_owned(), |status| rate(status.rate))) } span { "/s" } }
                svg.spark viewBox="0 0 120 24" preserveAspectRatio="none" aria-hidden="true" { polyline points="" {} }
            }
            dl {
                dt { "lag" } dd.lag { (status.map_or("–".to_owned(), lag)) }
                dt { "handled" } dd.records { (status.map_or("–".to_owned(), |status| whole(status.records))) }
                dt { "errors" } dd.errors data-some[troubled] { (status.map_or("–".to_owned(), |status| whole(status.errors))) }
                dt { "position" } dd.position title=(position) { @if position.is_empty() { "–" } @else { (position) } }
            }
        }
    }
}

/// The last error of each layer that had one; nothing where their words are not shown.
fn troubles(layers: &[LayerStatus]) -> Markup {
    let troubled = || layers.iter().filter_map(|status| Some((status.layer, status.last_error.as_deref()?)));
    html! {
        section.troubles #troubles aria-labelledby="errors" hidden[troubled().next().is_none()] {
            h2 #errors { "Last errors" }
            dl #words { @for (layer, error) in troubled() { dt { (layer) } dd { (error) } } }
        }
    }
}

fn decisions(snapshot: &Snapshot) -> Markup {
    let empty = match &snapshot.decisions_error {
        Some(error) => format!("The decisions cannot be read now: {error}."),
        None => "No decision yet: one is made as soon as an intent fires.".to_owned(),
    };
    html! {
        section.decisions aria-labelledby="decisions" {
            h2 #decisions { "Last decisions" }
            div.scroll tabindex="0" role="region" aria-labelledby="decisions" {
                table {
                    thead {
                        tr { @for name in ["Time (UTC)", "Person", "Intent", "Playbook", "Channel", "Status", "Outcome"] { th scope="col" { (name) } } }
                    }
                    tbody #rows { @for line in &snapshot.decisions { (row(line)) } }
                }
            }
            p.empty #empty hidden[!snapshot.decisions.is_empty()] { (empty) }
        }
    }
}

fn row(line: &DecisionLine) -> Markup {
    html! {
        tr {
            td { time datetime=(line.at) { (clock(line.at)) } }
            td.token { (token(&line.person)) }
            td { (line.intent) }
            td { (line.playbook) }
            td { (line.channel) }
            td { span.badge data-status=(line.status) { (line.status) } @if let Some(by) = &line.blocked_by { span.by { (by) } } }
            td {
                @match line.outcome.as_deref() {
                    Some("none") => span.muted { "no purchase" },
                    Some(outcome) => span.badge data-status=(outcome) { (outcome) },
                    None if OPEN.contains(&line.status.as_str()) => span.muted { "open" },
                    None => span.muted { "–" },
                }
            }
        }
    }
}

/// A pseudonym, with the kind of person in words.
fn token(person: &str) -> String {
    let (kind, pseudonym) = person.split_once(':').unwrap_or(("x", person));
    format!("{} {pseudonym}", if kind == "m" { "member" } else { "visitor" })
}

/// A lag with its unit, where that is not records.
fn lag(status: &LayerStatus) -> String {
    match (status.lag_unit, status.lag) {
        (LagUnit::Records, records) => whole(records),
        (LagUnit::Bytes, bytes @ 0..10_240) => format!("{} B", whole(bytes)),
        (LagUnit::Bytes, bytes) => format!("{} KiB", whole(bytes / 1024)),
    }
}

fn rate(rate: f64) -> String {
    if rate > 0.0 && rate < 10.0 { format!("{rate:.1}") } else { whole(rate.max(0.0).round() as u64) }
}

/// A whole number with commas between thousands.
fn whole(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn middle(times: Option<Quantiles>) -> String {
    times.map_or("–".to_owned(), |times| millis(times.p50_ms))
}

fn slow(times: Option<Quantiles>) -> String {
    times.map_or("not measured yet".to_owned(), |times| format!("p50 · p99 {}", millis(times.p99_ms)))
}

fn millis(time: f64) -> String {
    match time {
        t if t >= 10_000.0 => format!("{:.0} s", t / 1000.0),
        t if t >= 1000.0 => format!("{:.1} s", t / 1000.0),
        t if t >= 10.0 => format!("{t:.0} ms"),
        t => format!("{t:.1} ms"),
    }
}

fn clock(at: model::Timestamp) -> String {
    // `2026-01-31T12:34:56.789Z`: the time of day.
    at.to_string().get(11..19).unwrap_or("–").to_owned()
}

fn duration(snapshot: &Snapshot) -> String {
    let seconds = snapshot.at.as_second().saturating_sub(snapshot.about.started_at.as_second()).max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([whole(0), whole(999), whole(1000), whole(1_469_307)], ["0", "999", "1,000", "1,469,307"]);
        assert_eq!([rate(0.0), rate(0.25), rate(9.96), rate(1234.4)], ["0", "0.2", "10.0", "1,234"]);
        assert_eq!(
            [millis(0.42), millis(42.4), millis(1500.0), millis(61_000.0)],
            ["0.4 ms", "42 ms", "1.5 s", "61 s"]
        );
    }

    #[test]
    fn people_are_pseudonyms() {
        assert_eq!(token("m:3fa9c1d2"), "member 3fa9c1d2");
        assert_eq!(token("a:0a1b2c3d"), "visitor 0a1b2c3d");
    }
}
