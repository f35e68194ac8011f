"use strict";
(() => {
  const WINDOW = 60;
  const OPEN = ["executing", "executed"];
  const history = new Map();
  const whole = (n) => Math.round(n).toLocaleString("en-US");
  const rate = (n) => (n > 0 && n < 10 ? n.toFixed(1) : whole(Math.max(0, n)));
  const lag = (s) => s.lag_unit !== "bytes" ? whole(s.lag) : s.lag < 10240 ? whole(s.lag) + " B" : whole(Math.floor(s.lag / 1024)) + " KiB";
  const millis = (t) => t >= 10000 ? (t / 1000).toFixed(0) + " s" : t >= 1000 ? (t / 1000).toFixed(1) + " s" : t >= 10 ? t.toFixed(0) + " ms" : t.toFixed(1) + " ms";
  const clock = (at) => at.slice(11, 19);
  const byId = (id) => document.getElementById(id);
  const say = (node, text) => { if (node && node.textContent !== text) node.textContent = text; };
  const make = (name, text, more) => Object.assign(document.createElement(name), { textContent: text }, more);

  const uptime = (s) => s < 60 ? s + " s" : s < 3600 ? Math.floor(s / 60) + " min"
    : s < 86400 ? Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min" : Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";

  function layer(status) {
    const card = byId("l-" + status.layer);
    if (!card) return;
    const state = status.rate > 0 ? "flowing" : "idle";
    card.dataset.state = state;
    say(card.querySelector(".state"), state);
    say(card.querySelector(".rate b"), rate(status.rate));
    say(card.querySelector(".records"), whole(status.records));
    say(card.querySelector(".lag"), lag(status));
    const position = card.querySelector(".position"), errors = card.querySelector(".errors");
    say(position, status.position || "–");
    position.title = status.position;
    say(errors, whole(status.errors));
    errors.toggleAttribute("data-some", status.errors > 0);
    for (const arrow of document.querySelectorAll(`[data-flow="${status.layer}"]`)) arrow.toggleAttribute("data-on", status.rate > 0);
    const past = history.get(status.layer) || [];
    past.push(status.rate);
    if (past.length > WINDOW) past.shift();
    history.set(status.layer, past);
    const top = Math.max(1, ...past);
    const points = past.map((r, i) => `${((WINDOW - past.length + i) * 120 / (WINDOW - 1)).toFixed(1)},${(22 - 20 * r / top).toFixed(1)}`);
    card.querySelector("polyline").setAttribute("points", points.join(" "));
  }

  function strip(s) {
    const sum = (of) => s.layers.reduce((total, l) => total + of(l), 0);
    say(byId("f-in"), rate(sum((l) => (l.layer === "access" || l.layer === "gateway" ? l.rate : 0))));
    say(byId("f-lag"), whole(sum((l) => l.lag_unit === "bytes" ? 0 : l.lag)));
    say(byId("f-errors"), whole(sum((l) => l.errors)));
    for (const shape of ["profile", "sql"]) {
      const times = s.freshness && s.freshness[shape];
      say(byId("f-" + shape), times ? millis(times.p50_ms) : "–");
      say(byId("n-" + shape), times ? "p50 · p99 " + millis(times.p99_ms) : "not measured yet");
    }
    say(byId("f-asof"), s.freshness && s.freshness.as_of ? clock(s.freshness.as_of) : "–");
    say(byId("about"), `v${s.about.version} · up ${uptime(Math.max(0, Math.floor((Date.parse(s.at) - Date.parse(s.about.started_at)) / 1000)))}`);
  }

  function badge(status) {
    const node = make("span", status, { className: "badge" });
    node.dataset.status = status;
    return node;
  }

  function row(d) {
    const tr = document.createElement("tr");
    const cell = (...nodes) => { const td = document.createElement("td"); td.append(...nodes); tr.append(td); return td; };
    cell(make("time", clock(d.at), { dateTime: d.at }));
    const [kind, pseudonym] = d.person.split(":");
    cell(`${kind === "m" ? "member" : "visitor"} ${pseudonym}`).className = "token";
    cell(d.intent);
    cell(d.playbook);
    cell(d.channel);
    const status = cell(badge(d.status));
    if (d.blocked_by) status.append(make("span", d.blocked_by, { className: "by" }));
    if (!d.outcome) cell(make("span", OPEN.includes(d.status) ? "open" : "–", { className: "muted" }));
    else if (d.outcome === "none") cell(make("span", "no purchase", { className: "muted" }));
    else cell(badge(d.outcome));
    return tr;
  }

  function decisions(s) {
    byId("rows").replaceChildren(...s.decisions.map(row));
    const empty = byId("empty");
    empty.hidden = s.decisions.length > 0;
    say(empty, s.decisions_error ? `The decisions cannot be read now: ${s.decisions_error}.` : "No decision yet: one is made as soon as an intent fires.");
  }

  function troubles(s) {
    const troubled = s.layers.filter((l) => l.last_error);
    byId("troubles").hidden = troubled.length === 0;
    byId("words").replaceChildren(...troubled.flatMap((l) => [make("dt", l.layer), make("dd", l.last_error)]));
  }

  const live = byId("live");
  let shown = "";
  async function tick() {
    try {
      if (!document.hidden) {
        // By the origin: a page that was opened with a key in its address may not ask by a relative one.
        const answer = await fetch(location.origin + "/status.json", { cache: "no-store", signal: AbortSignal.timeout(5000) });
        if (!answer.ok) throw new Error(answer.status);
        const s = await answer.json();
        s.layers.forEach(layer);
        strip(s);
        const now = JSON.stringify([s.decisions, s.decisions_error, s.layers.map((l) => l.last_error)]);
        if (now !== shown) { shown = now; decisions(s); troubles(s); }
        live.dataset.state = "on";
        say(live, "live");
      }
    } catch {
      live.dataset.state = "off";
      say(live, "no answer; trying again");
    }
    setTimeout(tick, 1000);
  }
  tick();
})();
