"use strict";
// The page draws what the server says and knows nothing by itself. Everything that comes from outside is set as text,
// never as markup. State first: the header is drawn before anything else, and greyed when no news comes.

const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const SILENT_MS = 3000, DEPTH_MS = 500, EVENTS = 500, ROWS = 400;
const state = { events: [] };
let session = { csrf: "", operator: "", rights: [], reader: false, fault: "" };
let tickAt = 0, tickNs = 0, lostAt = null, stream = null, dirty = new Set(), drawing = false, spoken = "", shownEvents = null;

// -- small tools -------------------------------------------------------------------------------------------------

function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [k, v] of Object.entries(attributes)) k === "class" ? (node.className = v) : node.setAttribute(k, v);
  node.append(...children);
  return node;
}
function svg(tag, attributes = {}, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
  if (text !== "") node.textContent = text;
  return node;
}
function put(node, text) {
  if (node.textContent !== String(text)) node.textContent = text;
}
function sign(level) {
  const box = el("span", { class: `sign ${level}` }), picture = svg("svg", { "aria-hidden": "true" });
  picture.append(svg("use", { href: `#i-${level}` }));
  box.append(picture);
  return box;
}
const pad = (n, digits = 2) => String(n).padStart(digits, "0");
function clock(ns) {
  if (!ns) return "";
  const t = new Date(ns / 1e6), day = t.toISOString().slice(5, 10);
  const time = `${pad(t.getUTCHours())}:${pad(t.getUTCMinutes())}:${pad(t.getUTCSeconds())}`;
  return day === new Date(now() / 1e6).toISOString().slice(5, 10) ? time : `${day} ${time}`;
}
const now = () => tickNs + (performance.now() - tickAt) * 1e6; // the server's clock, not the browser's
function span(ms) {
  if (ms === null || ms === undefined) return "";
  const a = Math.abs(ms);
  if (a < 1000) return `${Math.round(ms)} ms`;
  if (a < 100e3) return `${(ms / 1000).toFixed(1)} s`;
  if (a < 6000e3) return `${Math.round(ms / 60e3)} min`;
  return a < 48 * 3600e3 ? `${Math.round(ms / 3600e3)} h` : `${Math.round(ms / 86400e3)} d`;
}
const since = (ns) => (ns ? span(Math.max(0, (now() - ns) / 1e6)) : "");
const micro = (us) => (us === null || us === undefined ? "" : us < 1000 ? `${us < 10 && us % 1 ? us.toFixed(1) : Math.round(us)} us` : us < 1e6 ? `${(us / 1000).toFixed(us < 1e4 ? 2 : 1)} ms` : `${(us / 1e6).toFixed(1)} s`);
const maybe = (text, known) => (known || text === "" ? text : `(${text})`);
const money = (text) => (text === "" ? "" : Number(text).toFixed(2));
const brief = (text) => (text === "" || !/\.\d{3,}/.test(text) ? text : String(Number(Number(text).toPrecision(6))));
const many = (n, one, more = `${one}s`) => `${n} ${n === 1 ? one : more}`;

// -- tables: rows are kept by key, so that focus and selection stay where they are -------------------------------------

function table(id, columns, rows, key, go) {
  const node = $(id);
  if (!node.tHead) {
    const head = el("tr");
    for (const c of columns) head.append(el("th", { scope: "col", class: c.cls || "" }, c.head));
    node.append(el("thead", {}, head), el("tbody"));
    node.kept = new Map();
  }
  const body = node.tBodies[0], seen = new Set();
  let before = body.firstChild;
  for (const row of rows) {
    const k = key(row);
    if (seen.has(k)) continue;
    seen.add(k);
    let tr = node.kept.get(k);
    if (!tr) {
      tr = el("tr");
      for (const c of columns) tr.append(el("td", { class: c.cls || "" }));
      node.kept.set(k, tr);
      if (go) {
        tr.className = "go";
        tr.tabIndex = 0;
        tr.addEventListener("click", () => go(tr.row));
        tr.addEventListener("keydown", (e) => { if (e.key === "Enter") go(tr.row); });
      }
    }
    tr.row = row;
    columns.forEach((c, i) => cell(tr.cells[i], c.of(row)));
    if (tr === before) before = before.nextSibling;
    else body.insertBefore(tr, before);
  }
  for (const [k, tr] of node.kept) if (!seen.has(k)) { tr.remove(); node.kept.delete(k); }
}
function cell(td, found) {
  // Text, or [severity, text]: the sign stands before the word; or a node, which the column keeps as it is.
  if (found instanceof Node) { if (td.firstChild !== found) td.replaceChildren(found); return; }
  const [level, text] = Array.isArray(found) ? found : ["", found];
  const mark = `${level}|${text}`;
  if (td.mark === mark) return;
  td.mark = mark;
  if (!level) td.textContent = text;
  else td.replaceChildren(sign(level), el("span", { class: level }, String(text)));
}
const col = (head, of, cls = "") => ({ head, of, cls });

// -- the header ----------------------------------------------------------------------------------------------------

const SCOPE_LEVEL = { ARMED: "ok", DISARMED: "warning", RESETTING: "warning", TRIPPING: "critical", TRIPPED: "critical" };
const WORD_LEVEL = { READY: "ok", LIVE: "ok", RECOVERING: "warning", STARTING: "warning", CONNECTING: "warning", LOGGING_ON: "warning", LOGGING_OUT: "warning", HALTED: "warning", UNKNOWN: "unknown", MISSING: "unknown", STOPPING: "warning", DEGRADED: "warning" };
const level = (word) => WORD_LEVEL[word] || "critical";

function drawDesk() {
  const d = state.desk, k = state.kill;
  if (!d || !k) return;
  const severity = d.severity === "ok" ? "ok" : d.severity;
  const box = $("state");
  if (box.className !== severity) {
    box.className = severity;
    box.firstElementChild.replaceWith(sign(severity));
  }
  put($("state-word"), d.state);
  put($("desk-name"), d.name);
  const more = d.problems.length > 1 ? ` (and ${d.problems.length - 1} more)` : "";
  put($("state-why"), d.reason ? d.reason + more : d.armed ? "Everything is ready; orders may leave." : "");
  $("state-why").title = d.problems.join("\n");
  fact("f-gate", d.armed ? "ok" : "critical", d.armed ? `${d.gate}: open` : `${d.gate}: CLOSED`);
  fact("f-lease", d.lease_ms !== null && d.lease_ms > 0 ? "ok" : "critical", d.lease_ms === null ? "never" : d.lease_ms > 0 ? "fresh" : `out for ${span(-d.lease_ms)}`);
  fact("f-kill", k.answers ? SCOPE_LEVEL[k.state] || "unknown" : "critical", k.answers ? k.state : "NO ANSWER");
  $("f-kill").title = k.fault;
  fact("f-sessions", d.sessions_ready === d.sessions_total ? "ok" : "warning", `${d.sessions_ready} of ${d.sessions_total}`);
  fact("f-books", d.books_live === d.books_total ? "ok" : "warning", `${d.books_live} of ${d.books_total}`);
  fact("f-orders", d.orders_uncertain ? "warning" : "ok", `${d.orders_open} open${d.orders_uncertain ? `, ${d.orders_uncertain} UNCERTAIN` : ""}`);
  fact("f-alarms", d.alarms_critical ? "critical" : d.alarms_waiting ? "warning" : "ok", d.alarms_waiting ? `${d.alarms_waiting} waiting` : "none");
  document.title = `${severity === "ok" ? "" : severity === "critical" ? "✖ " : "▲ "}${d.state} ${d.name}`;
  const saying = `${d.state} ${d.reason}`;
  if (spoken && spoken !== saying) put($("say"), `Desk ${d.name}: ${d.state}. ${d.reason}`);
  spoken = saying;
}
function fact(id, severity, text) {
  const node = $(id), mark = `${severity}|${text}`;
  if (node.mark === mark) return;
  node.mark = mark;
  node.replaceChildren(sign(severity), el("span", { class: severity }, text));
}

// -- kill switch: what stands, and how far a trip is ------------------------------------------------------------------

function drawKill() {
  const k = state.kill;
  if (!k) return;
  const t = k.trip, closed = k.scopes.filter((s) => s.state !== "ARMED"), last = k.operator_word || !k.answers;
  $("trip").hidden = !t && !closed.length && !last && !k.faults.length;
  $("trip").classList.toggle("calm", !closed.length && !last);
  const head = [];
  if (!k.answers) head.push(`THE KILL SWITCH DOES NOT ANSWER: ${k.fault}`);
  if (k.operator_word) head.push(`AN OPERATOR'S WORD CLOSES THE DESK: ${k.operator_word}`);
  if (t) head.push(`${closed.length ? "Trip" : "Last trip"} of ${t.scopes.join(", ")}, ${clock(t.at_ns)}, ${t.phase.toUpperCase()}. Cause: ${t.cause}. ${t.reason}`);
  put($("trip-head"), head.join(" "));
  $("trip-bar").hidden = $("trip-times").hidden = !t;
  if (t) {
    $("trip-progress").max = Math.max(1, t.orders);
    $("trip-progress").value = t.orders ? t.proven : t.all_proven_ms ? 1 : 0;
    put($("trip-count"), `${t.proven} of ${t.orders} orders proven dead${t.filled ? `, ${t.filled} traded on the way` : ""}`);
    const times = [["gate closed", t.gate_closed_ms], ["first cancel", t.first_cancel_ms], ["fence", t.fence_ms], ["all proven", t.all_proven_ms]];
    const marks = times.map((x) => x.join()).join(";") + t.working + t.uncertain;
    if ($("trip-times").mark !== marks) {
      $("trip-times").mark = marks;
      $("trip-times").replaceChildren(
        ...times.map(([name, ms]) => el("div", {}, el("dt", {}, name), el("dd", {}, ms ? `${Number(ms).toFixed(1)} ms` : "not yet"))),
        el("div", {}, el("dt", {}, "orders left"), el("dd", {}, `${t.working}${t.uncertain ? `, ${t.uncertain} of them uncertain` : ""}`)));
    }
  }
  list($("trip-open"), [...(t && !t.all_proven_ms ? t.open_questions : []), ...k.faults, ...k.blockers.map((b) => `blocks arming: ${b}`)]);
  table("t-scopes", [
    col("scope", (s) => s.scope), col("state", (s) => [SCOPE_LEVEL[s.state] || "unknown", s.state]), col("", (s) => resetButton(s)), col("since", (s) => since(s.since_ns), "n"),
    col("cause", (s) => s.cause, "far"), col("reason", (s) => s.reason, "text"), col("left", (s) => s.working, "n"), col("proven", (s) => s.proven, "n far"),
  ], closed, (s) => s.scope);
  const mine = t ? k.steps.filter((s) => s.trip_id === t.trip_id) : [];
  $("trip-steps").hidden = !mine.length;
  list($("trip-steps").querySelector("ol"), mine.map((s) => `${clock(s.ts_ns)} ${s.step}: ${s.detail} (${s.working} left, ${s.proven} proven)`));
}
const resetButtons = new Map();
function resetButton(scope) {
  let b = resetButtons.get(scope.scope);
  if (!b) {
    b = el("button", { type: "button" }, "Reset…");
    b.addEventListener("click", () => openReset(scope.scope));
    resetButtons.set(scope.scope, b);
  }
  b.disabled = !["TRIPPED", "TRIPPING"].includes(scope.state);
  return b;
}
function list(node, lines) {
  const mark = lines.join("\n");
  if (node.mark === mark) return;
  node.mark = mark;
  node.replaceChildren(...lines.map((x) => el("li", {}, x)));
}

// -- panels ------------------------------------------------------------------------------------------------------------

function drawAlarms() {
  const a = state.alarms;
  if (!a) return;
  put($("alarms-none"), a.fault ? a.fault : a.rows.length ? "" : "Nothing stands.");
  table("t-alarms", [
    col("", (r) => [r.severity === "info" ? "ok" : r.severity, r.severity]), col("no.", (r) => r.number || "", "n"), col("what", (r) => `${r.subject ? `${r.subject}: ` : ""}${r.text}`, "text"),
    col("code", (r) => r.code, "far"), col("from", (r) => r.source, "far"), col("times", (r) => r.count, "n"), col("since", (r) => since(r.first_ns), "n"),
    col("acknowledged", (r) => (r.acked_by ? `${r.acked_by}: ${r.ack_note}` : r.over_ns ? `over: ${r.over_text}` : "NO")),
  ], a.rows, (r) => `${r.number} ${r.source} ${r.code} ${r.subject}`);
  $("t-alarms").hidden = !a.rows.length;
}
function drawSessions() {
  table("t-sessions", [
    col("session", (s) => s.name), col("state", (s) => [level(s.state), s.state]), col("kind", (s) => s.kind, "far"), col("for", (s) => since(s.known ? s.since_ns : s.unknown_ns), "n"),
    col("next out", (s) => maybe(s.next_out ?? "", s.known), "n far"), col("next in", (s) => maybe(s.next_in ?? "", s.known), "n far"),
    col("in/s", (s) => maybe(s.in_per_s, s.known), "n"), col("out/s", (s) => maybe(s.out_per_s, s.known), "n far"),
    col("test", (s) => micro(s.test.last_us), "n far"), col("order p50", (s) => micro(s.order.p50_us), "n far"), col("p99", (s) => micro(s.order.p99_us), "n"),
    col("open", (s) => (s.kind === "trading" ? s.orders_open : ""), "n"), col("why", (s) => s.reason, "text"),
  ], state.sessions || [], (s) => s.name);
}
function drawBooks() {
  table("t-books", [
    col("book", (b) => `${b.venue} ${b.instrument}${b.level === 3 ? " L3" : ""}`), col("state", (b) => [level(b.status), b.status === "LIVE" ? "LIVE" : `${b.status} ${b.reason}`]),
    col("bid", (b) => b.bid_px, "n"), col("ask", (b) => b.ask_px, "n"), col("spread", (b) => b.spread, "n far"), col("bps", (b) => b.spread_bps, "n"),
    col("age", (b) => span(b.age_ms), "n"), col("msg/s", (b) => b.messages_per_s, "n far"), col("from", (b) => b.source, "far"),
  ], state.books || [], bookKey, (b) => { $("depth-book").value = bookKey(b); askDepth(); $("depth").scrollIntoView(); });
  const names = (state.books || []).map(bookKey), select = $("depth-book");
  if (select.mark !== names.join()) {
    const chosen = select.value;
    select.mark = names.join();
    select.replaceChildren(...names.map((n) => el("option", { value: n }, n)));
    if (names.includes(chosen)) select.value = chosen;
  }
}
const bookKey = (b) => `${b.venue} ${b.instrument} L${b.level}`;
function drawOrders() {
  const which = $("orders-which").value, all = state[which === "open" ? "open_orders" : "finished_orders"] || [];
  const rows = all.filter((o) => matches(o, $("orders-filter").value));
  const shown = rows.slice(0, ROWS);
  put($("orders-said"), rows.length ? `${shown.length < rows.length ? `the first ${ROWS} of ` : ""}${many(rows.length, "order")}${which === "open" && state.desk && state.desk.orders_open > all.length ? ` of ${state.desk.orders_open}, the others are not sent here` : ""}; Enter or a click shows an order's life` : `no ${which} orders${all.length ? " like that" : ""}`);
  table("t-orders", [
    col("instrument", (o) => `${o.venue} ${o.instrument}`), col("side", (o) => o.side, ""),
    col("price", (o) => o.price, "n"), col("qty", (o) => o.order_qty, "n"), col("filled", (o) => o.filled_qty, "n far"), col("left", (o) => o.leaves_qty, "n far"),
    col("state", (o) => [o.state === "UNCERTAIN" || !o.known ? "warning" : o.state === "REJECTED" ? "critical" : "ok", o.state]), col("age", (o) => since(o.first_ns), "n"),
    col("strategy", (o) => o.strategy, "far"), col("session", (o) => o.session, "far"), col("ClOrdID", (o) => o.cl_ord_id, ""), col("reason", (o) => o.reason, "text far"),
  ], shown, (o) => `${o.session} ${o.cl_ord_id}`, openLife);
}
function matches(row, text) {
  if (!text) return true;
  const wanted = text.toLowerCase();
  return Object.values(row).some((v) => String(v).toLowerCase().includes(wanted));
}
function drawPositions() {
  table("t-positions", [
    col("session", (p) => p.session, "far"), col("instrument", (p) => `${p.venue} ${p.instrument}`), col("position", (p) => maybe(p.position, p.known), "n"), col("at", (p) => p.mark_px, "n far"),
    col("worth", (p) => (p.notional ? `${money(p.notional)} ${p.quote}` : ""), "n"), col("orders", (p) => `${p.open_orders}${p.uncertain ? ` (${p.uncertain} uncertain)` : ""}`, "n far"),
    col("buying", (p) => p.working_buy_qty, "n far"), col("selling", (p) => p.working_sell_qty, "n far"), col("realised", (p) => money(p.realised), "n"), col("lacks", (p) => (p.incomplete ? ["warning", p.incomplete] : ""), ""),
  ], state.positions || [], (p) => `${p.session} ${p.instrument}`);
}
function drawBalances() {
  table("t-balances", [
    col("venue", (b) => b.venue), col("account", (b) => b.account, "far"), col("currency", (b) => b.currency), col("total", (b) => b.total, "n"),
    col("available", (b) => b.available, "n"), col("held", (b) => b.held, "n far"), col("buying power", (b) => b.buying_power, "n far"), col("said", (b) => `${since(b.ts_ns)} ago`, "n"),
  ], state.balances || [], (b) => `${b.session} ${b.currency}`);
}
const isHealth = (l) => /^(memory of|CPU of|no heartbeat of|journal stall of|full disk of|free |clock step)/.test(l.figure);
const meters = new Map();
function drawLimits() {
  const found = state.limits;
  if (!found) return;
  const all = $("limits-all").checked, rows = found.rows.filter((l) => all || !isHealth(l) || !["ok", "not measured"].includes(l.state));
  const hidden = found.rows.length - rows.length;
  put($("limits-said"), [found.fault, hidden ? `${hidden} of processes and host are within their limits` : "", found.rows.length ? "" : "no limit is known"].filter(Boolean).join("; "));
  table("t-limits", [
    col("limit on", (l) => `${l.scope}: ${l.figure}`, "text"), col("used", (l) => limitMeter(l), "w"), col("value", (l) => brief(l.value) || "-", "n"), col("of", (l) => `${l.limit_is === "least" ? "at least " : ""}${l.limit} ${l.unit}`, "n"),
    col("distance", (l) => brief(l.distance) || "-", "n far"), col("state", (l) => [l.state === "ok" ? "ok" : l.state === "not measured" ? "unknown" : /^\d/.test(l.state) ? "warning" : "critical", l.state]),
    col("then", (l) => l.does, "far"),
  ], rows, (l) => `${l.scope} ${l.figure}`);
}
function limitMeter(l) {
  const key = `${l.scope} ${l.figure}`;
  let box = meters.get(key);
  if (!box) {
    box = el("span", {}, el("meter", { min: 0, max: 100, low: 50, high: 75, optimum: 0, "aria-label": key }), " ", el("span"));
    meters.set(key, box);
  }
  const percent = l.value === "" ? 0 : Math.max(0, Math.min(100, l.percent));
  if (box.firstChild.value !== percent) box.firstChild.value = percent;
  put(box.lastChild, l.value === "" ? "" : `${l.percent} %`);
  return box;
}
function drawProcesses() {
  table("t-processes", [
    col("process", (p) => p.name), col("kind", (p) => p.kind, "far"), col("state", (p) => [level(p.readiness), p.readiness]), col("for", (p) => since(p.known ? p.since_ns : p.unknown_ns), "n"),
    col("up", (p) => (p.known ? since(p.started_ns) : ""), "n far"), col("pid", (p) => p.pid || "", "n far"), col("memory", (p) => (p.memory_mb === null ? "" : maybe(`${p.memory_mb} MB`, p.known)), "n"),
    col("CPU", (p) => (p.cpu_pct === null ? "" : maybe(`${p.cpu_pct} %`, p.known)), "n"), col("why", (p) => [p.disagrees ? `another ${p.disagrees} than the others` : "", p.reason].filter(Boolean).join("; "), "text"),
  ], state.processes || [], (p) => p.name);
}
function drawEvents() {
  const paused = shownEvents !== null, source = paused ? shownEvents : state.events;
  const least = Number($("events-least").value), text = $("events-filter").value, order = { info: 0, warning: 1, critical: 2 };
  const rows = source.filter((e) => order[e.severity] >= least && matches(e, text)).slice(-200).reverse();
  const waiting = paused ? state.events.filter((e) => e.number > (source.length ? source[source.length - 1].number : 0)).length : 0;
  put($("events-said"), paused ? `paused; ${many(waiting, "event")} since` : rows.length ? "the newest first" : "nothing like that yet");
  table("t-events", [
    col("time", (e) => clock(e.ts_ns), "w"), col("", (e) => (e.severity === "info" ? "info" : [e.severity, e.severity])), col("what", (e) => e.text, "text"), col("kind", (e) => e.kind, "far"), col("from", (e) => e.source, "far"),
    col("of", (e) => e.subject, "far"),
  ], rows, (e) => e.number);
}

// -- depth ----------------------------------------------------------------------------------------------------------------

let depthBusy = false, depthSeen = false;
async function askDepth() {
  const [venue, instrument, l] = $("depth-book").value.split(" ");
  if (depthBusy || !instrument || !alive()) return;
  depthBusy = true;
  try {
    const d = await get(`/api/depth?${new URLSearchParams({ venue, instrument, level: l.slice(1) })}`);
    if ($("depth-book").value === `${venue} ${instrument} ${l}`) drawDepth(d);
  } catch (e) {
    drawDepth({ book: null, bids: [], asks: [], fault: e.message });
  }
  depthBusy = false;
}
function drawDepth(d) {
  const name = $("depth-book").value, b = d.book;
  put($("depth-said"), d.fault ? `NOT SHOWN: ${d.fault}` : `${b.status}, spread ${b.spread || "?"}${b.spread_bps ? ` (${b.spread_bps} bps)` : ""}, ${d.bids.length} bids and ${d.asks.length} asks shown`);
  const chart = $("depth-chart"), W = 420, H = 260, L = 46, B = 24, T = 10, R = 6;
  const title = svg("title", { id: "depth-title" }, d.fault ? `${name}: no depth: ${d.fault}` : `${name}: quantity on offer at or better than each price; the table beside has the best levels`);
  chart.replaceChildren(title);
  const rows = [];
  for (let i = 0; i < 12; i++) if (d.bids[i] || d.asks[i]) rows.push({ i, bid: d.bids[i], ask: d.asks[i] });
  table("t-depth", [
    col("qty", (r) => (r.bid ? r.bid.qty : ""), "n"), col("bid", (r) => (r.bid ? r.bid.px : ""), "n bid"),
    col("ask", (r) => (r.ask ? r.ask.px : ""), "n ask"), col("qty", (r) => (r.ask ? r.ask.qty : ""), "n"),
  ], rows, (r) => r.i);
  if (d.fault || !d.bids.length || !d.asks.length) {
    chart.append(svg("text", { x: W / 2, y: H / 2, "text-anchor": "middle" }, d.fault || "one side is empty"));
    return;
  }
  const points = (side) => side.map((x) => [Number(x.px), Number(x.sum_qty)]);
  const bids = points(d.bids), asks = points(d.asks), mid = (bids[0][0] + asks[0][0]) / 2;
  const half = Math.max(Math.min(mid - bids[bids.length - 1][0], asks[asks.length - 1][0] - mid), asks[0][0] - bids[0][0]) || mid * 1e-6;
  const inside = (p) => Math.abs(p[0] - mid) <= half;
  const most = Math.max(...[...bids, ...asks].filter(inside).map((p) => p[1]), 1e-12);
  const x = (px) => L + ((px - mid + half) / (2 * half)) * (W - L - R), y = (q) => H - B - (Math.min(q, most) / most) * (H - B - T);
  for (let i = 0; i <= 4; i++) {
    const q = (most * i) / 4;
    chart.append(svg("line", { x1: L, x2: W - R, y1: y(q), y2: y(q) }), svg("text", { x: L - 6, y: y(q) + 4, "text-anchor": "end" }, short(q)));
  }
  const decimals = Math.max(0, Math.min(8, Math.ceil(-Math.log10(half / 4)) + 1));
  for (let i = 0; i <= 4; i++) {
    const px = mid - half + (half * i) / 2;
    chart.append(svg("text", { x: x(px), y: H - 6, "text-anchor": i === 0 ? "start" : i === 4 ? "end" : "middle" }, px.toFixed(decimals)));
  }
  for (const [cls, side] of [["bid", bids], ["ask", asks]]) {
    let path = `M${x(side[0][0]).toFixed(1)} ${y(0)}`;
    let last = 0;
    for (const p of side.filter(inside)) { path += `V${y(p[1]).toFixed(1)}`.replace("V", `L${x(p[0]).toFixed(1)} ${y(last).toFixed(1)}V`); last = p[1]; }
    path += `H${cls === "bid" ? L : W - R}V${y(0)}Z`;
    chart.append(svg("path", { class: `area ${cls}`, d: path }));
  }
  chart.append(svg("text", { x: x(mid - half / 2), y: T + 12, "text-anchor": "middle", class: "bid" }, "bids"), svg("text", { x: x(mid + half / 2), y: T + 12, "text-anchor": "middle", class: "ask" }, "asks"));
}
function short(q) {
  const a = Math.abs(q);
  return a >= 1e6 ? `${(q / 1e6).toFixed(1)}M` : a >= 1e4 ? `${(q / 1e3).toFixed(0)}k` : a >= 100 ? q.toFixed(0) : a >= 1 ? q.toFixed(2) : a === 0 ? "0" : q.toPrecision(2);
}

// -- the server -------------------------------------------------------------------------------------------------------------

async function get(path) {
  return answer(await fetch(path, { cache: "no-store" }));
}
async function answer(response) {
  let found = null;
  try { found = await response.json(); } catch { throw new Error(`the server said ${response.status}`); }
  if (!response.ok) throw Object.assign(new Error(found.error || `the server said ${response.status}`), { status: response.status });
  return found;
}
async function post(path, body, again = true) {
  const headers = { "content-type": "application/json", "x-csrf-token": session.csrf };
  try {
    return await answer(await fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
  } catch (e) {
    if (again && e.status === 403 && /token/.test(e.message)) { await learnSession(); return post(path, body, false); }
    if (e.status === 401) await learnSession();
    throw e;
  }
}
async function learnSession() {
  setSession(await get("/api/session"));
}
function setSession(found) {
  session = found;
  put($("sign"), session.operator ? `Sign out ${session.operator}` : "Sign in");
  $("sign").title = session.fault;
}
function alive() {
  return tickAt > 0 && performance.now() - tickAt < SILENT_MS;
}
function connect() {
  if (stream) stream.close();
  stream = new EventSource("/events");
  for (const name of Object.keys(DRAW)) stream.addEventListener(name, (e) => { state[name] = JSON.parse(e.data); soon(name); });
  stream.addEventListener("whole-log", (e) => { state.events = JSON.parse(e.data); soon("log"); });
  stream.addEventListener("log", (e) => { state.events = [...state.events, ...JSON.parse(e.data)].slice(-EVENTS); soon("log"); });
  stream.addEventListener("tick", (e) => { tickAt = performance.now(); tickNs = JSON.parse(e.data).ns; look(); });
  stream.addEventListener("error", () => { if (stream.readyState === EventSource.CLOSED) setTimeout(reconnect, 1000); });
}
async function reconnect() {
  try {
    await learnSession();
    if (session.reader) connect();
    else openSign("Sign in to look at this desk.");
  } catch { setTimeout(reconnect, 1000); }
}
function look() {
  // What is drawn is true only while the server goes on saying so.
  const live = alive(), dead = $("not-live");
  document.body.classList.toggle("waiting", !tickAt);
  document.body.classList.toggle("dead", tickAt > 0 && !live);
  if (live) {
    lostAt = null;
    dead.hidden = true;
    put($("live"), `● LIVE ${clock(now())} UTC`);
  } else if (tickAt) {
    if (lostAt === null) {
      lostAt = tickNs;
      const at = new Date(lostAt / 1e6).toISOString();
      dead.replaceChildren(`NOT LIVE since ${at.slice(11, 19)} UTC`, el("small", {}, "What is below is how it was then. To stop the desk: KILL may still work; from a shell: qd kill trip"));
      dead.hidden = false;
      document.title = `✖ NOT LIVE ${state.desk ? state.desk.name : ""}`;
    }
    put($("live"), "✖ NOT LIVE");
    countHeld();
  }
}

// -- drawing ---------------------------------------------------------------------------------------------------------------

const DRAW = {
  desk: drawDesk, kill: () => { drawDesk(); drawKill(); }, alarms: drawAlarms, sessions: drawSessions, books: drawBooks, open_orders: () => { drawOrders(); countHeld(); },
  finished_orders: drawOrders, positions: drawPositions, limits: drawLimits, processes: drawProcesses, latency: drawLatency,
  balances: drawBalances, reading: () => put($("reading"), state.reading.length ? `Not all is shown here: ${state.reading.join("; ")}` : ""),
};
function soon(name) {
  dirty.add(name);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}
function draw() {
  drawing = false;
  const names = dirty;
  dirty = new Set();
  if (names.delete("desk")) drawDesk(); // state first
  const done = new Set();
  for (const name of names) {
    const f = name === "log" ? drawEvents : DRAW[name];
    if (!done.has(f)) { done.add(f); f(); }
  }
}

// -- dialogs --------------------------------------------------------------------------------------------------------------

function bad(form, text) { put(form.querySelector(".bad"), text); }
function openSign(why, then = null) {
  const form = $("sign-form");
  form.then = then;
  form.elements.password.value = "";
  put($("sign-why"), why);
  bad(form, session.fault);
  if (!$("d-sign").open) $("d-sign").showModal();
}
$("sign").addEventListener("click", async () => {
  if (!session.operator) { openSign("Looking needs no name. Tripping and resetting do: it stays on record."); return; }
  try { setSession(await post("/api/signout", {})); } catch (e) { put($("say"), e.message); }
});
$("sign-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = e.target, fields = form.elements;
  bad(form, "");
  try {
    const before = session.reader;
    setSession(await post("/api/signin", { name: fields.name.value, password: fields.password.value }));
    fields.password.value = "";
    $("d-sign").close();
    if (!before || !stream) connect();
    if (form.then) form.then();
  } catch (error) { bad(form, error.message); }
});

let planAsked = 0;
function killScope() {
  const kind = $("kill-kind").value;
  if (kind === "desk") return "desk";
  const name = kind === "strategy" ? $("kill-strategy").value.trim() : $("kill-name").value;
  return name ? `${kind}:${name}` : "";
}
function openKill() {
  const form = $("kill-form");
  form.reset();
  bad(form, "");
  chooseKind();
  $("d-kill").showModal();
}
$("kill").addEventListener("click", () => (session.operator ? openKill() : openSign("A trip stays on record under an operator's name. Without one: qd kill trip, at a shell of the desk's host.", openKill)));
document.addEventListener("keydown", (e) => {
  if (e.key === "k" && !e.ctrlKey && !e.metaKey && !e.altKey && !document.querySelector("dialog[open]") && !/INPUT|SELECT|TEXTAREA/.test(e.target.tagName)) { e.preventDefault(); $("kill").click(); }
});
function chooseKind() {
  const kind = $("kill-kind").value, known = (state.kill ? state.kill.known_scopes : []).filter((s) => s.startsWith(`${kind}:`)).map((s) => s.slice(kind.length + 1));
  $("kill-name-label").hidden = kind === "desk";
  $("kill-name").hidden = kind === "strategy";
  $("kill-strategy").hidden = kind !== "strategy";
  $("kill-name").replaceChildren(...known.map((n) => el("option", {}, n)));
  showPlan();
}
async function showPlan() {
  const scope = killScope(), box = $("kill-plan"), number = ++planAsked, button = $("kill-form").querySelector(".main");
  put($("kill-word"), scope || "…");
  box.replaceChildren(scope ? "What it will touch: asking…" : "Which one?");
  if (!scope) return;
  button.disabled = true;
  let plan = null;
  try { plan = await get(`/api/plan?${new URLSearchParams({ scope })}`); } catch (e) { plan = { error: e.message }; }
  if (number !== planAsked) return;
  button.disabled = false;
  if (plan.error) { box.replaceChildren(el("p", { class: "bad" }, `What it will touch is not known: ${plan.error}`)); return; }
  const bullets = (title, lines) => (lines.length ? [el("h3", {}, title), el("ul", {}, ...lines.map((x) => el("li", {}, x)))] : []);
  box.replaceChildren(
    el("p", {}, el("b", {}, `It closes the gate of ${scope} and cancels: `), el("span", { id: "kill-count" })),
    ...bullets("What it reaches", plan.touches), ...bullets("It leaves alone", plan.leaves), ...bullets("OUT OF ITS REACH", plan.out_of_reach),
    el("details", {}, el("summary", {}, "The whole plan"), el("pre", { tabindex: "0" }, plan.text)));
  countHeld();
}
function countHeld() {
  // Goes on counting while the dialog is open.
  const node = $("kill-count"), scope = killScope();
  if (!node) return;
  const held = (state.open_orders || []).filter((o) => covers(scope, o)), venues = new Map();
  for (const o of held) venues.set(o.venue, (venues.get(o.venue) || 0) + 1);
  const count = held.length ? `${many(held.length, "open order")}: ${[...venues].map(([v, n]) => `${n} at ${v}`).join(", ")}` : "no open order that this page knows of";
  const cut = state.desk && state.desk.orders_open > (state.open_orders || []).length ? "at least " : ""; // not all are sent
  put(node, alive() ? cut + count : `as of the last state, which is NOT LIVE: ${count}`);
}
function covers(scope, o) {
  const [kind, ...rest] = scope.split(":"), name = rest.join(":");
  return kind === "desk" || (kind === "venue" && o.venue === name) || (kind === "account" && `${o.venue}/${o.account}` === name) ||
    (kind === "session" && o.session === name) || (kind === "strategy" && o.strategy === name) || (kind === "instrument" && o.instrument === name);
}
$("kill-kind").addEventListener("change", chooseKind);
$("kill-name").addEventListener("change", showPlan);
$("kill-strategy").addEventListener("change", showPlan);
$("kill-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = e.target, scope = killScope();
  bad(form, "");
  if (form.elements.confirm.value.trim() !== scope) { bad(form, `Not tripped: to confirm, type ${scope}`); return; }
  form.querySelector(".main").disabled = true;
  try {
    const found = await post("/api/trip", { scope, reason: form.elements.reason.value.trim(), confirm: scope });
    $("d-kill").close();
    const said = found.by === "kill switch" ? `Tripped ${scope}. Progress is shown until every order is proven dead.` : found.said;
    put($("say"), said);
    put($("trip-head"), said);
    $("trip").hidden = false;
    $("trip").scrollIntoView();
  } catch (error) { bad(form, `NOT TRIPPED: ${error.message}`); }
  form.querySelector(".main").disabled = false;
});

function openReset(scope) {
  if (!session.operator) { openSign("A reset stays on record under an operator's name.", () => openReset(scope)); return; }
  const form = $("reset-form"), s = state.kill.scopes.find((x) => x.scope === scope), t = state.kill.trip;
  form.reset();
  form.scope = scope;
  bad(form, "");
  $("reset-force-label").hidden = true;
  put($("reset-word"), scope);
  const unproven = t && t.scopes.includes(scope) && !t.all_proven_ms ? ` NOT PROVEN DEAD: ${t.unproven.join(" ") || "unknown"}.` : "";
  put($("reset-what"), `${scope} is ${s ? s.state : "?"}: ${s ? s.reason : ""}.${unproven} After a reset it opens when the cool-off is over, and strategies arm themselves again.`);
  $("d-reset").showModal();
}
$("reset-form").addEventListener("submit", async (e) => {
  e.preventDefault();
  const form = e.target, scope = form.scope, force = form.elements.force.value.trim();
  bad(form, "");
  try {
    const found = await post("/api/reset", { scope, reason: form.elements.reason.value.trim(), confirm: form.elements.confirm.value.trim(), force: force ? force.split(/\s+/) : [] });
    put($("say"), found.said);
    $("d-reset").close();
  } catch (error) {
    bad(form, `Not reset: ${error.message}`);
    $("reset-force-label").hidden = !/To force/.test(error.message);
  }
});
async function openLife(o) {
  put($("life-head"), `${o.cl_ord_id}: ${o.side} ${o.order_qty} ${o.instrument} at ${o.price || "market"}, ${o.session}`);
  $("t-life").replaceChildren();
  delete $("t-life").kept;
  $("d-life").showModal();
  try {
    const life = await get(`/api/order?${new URLSearchParams({ venue: o.venue, id: o.cl_ord_id })}`);
    const rows = life.events.map((x, i) => ({ i, ...x }));
    table("t-life", [col("time", (x) => exact(x.ts_ns), "w"), col("event", (x) => x.what), col("what", (x) => x.text, "text")], rows, (x) => x.i);
    if (life.dropped) put($("life-head"), `${$("life-head").textContent}; ${many(life.dropped, "event")} in the middle were not kept`);
  } catch (e) { put($("life-head"), `${o.cl_ord_id}: ${e.message}`); }
}
const exact = (ns) => (ns ? new Date(ns / 1e6).toISOString().slice(11, 23) : "");

// -- latencies --------------------------------------------------------------------------------------------------------------

function drawLatency() {
  const all = state.latency || [], names = [...new Set(all.map((x) => x.name))], select = $("latency-what");
  if (select.mark !== names.join()) {
    const chosen = select.value;
    select.mark = names.join();
    select.replaceChildren(...names.map((n) => el("option", {}, n)));
    select.value = names.includes(chosen) ? chosen : names.includes("wire to book") ? "wire to book" : names[0];
  }
  const shown = all.filter((x) => x.name === select.value);
  put($("latency-said"), all.length ? "since each process started; both axes are logarithmic" : "nothing was measured yet");
  $("latency-charts").replaceChildren(...shown.map(histogram));
}
function histogram(h) {
  const W = 300, H = 130, B = 18, T = 6, chart = svg("svg", { viewBox: `0 0 ${W} ${H}`, class: "histogram", role: "img" });
  const said = `${h.of}: ${many(h.count, "time")}; half within ${micro(h.p50_ns / 1e3)}, 99 % within ${micro(h.p99_ns / 1e3)}, longest ${micro(h.max_ns / 1e3)}`;
  chart.append(svg("title", {}, said), svg("line", { x1: 0, x2: W, y1: H - B, y2: H - B }));
  const most = Math.log2(Math.max(...h.buckets.map((b) => b[1]), 1) + 1), w = W / Math.max(h.buckets.length, 1);
  h.buckets.forEach(([up, n], i) => {
    const tall = (Math.log2(n + 1) / most) * (H - B - T);
    if (n) chart.append(svg("rect", { x: (i * w + 0.5).toFixed(1), width: Math.max(w - 1, 0.5).toFixed(1), y: (H - B - tall).toFixed(1), height: tall.toFixed(1) }));
    if (i === 0 || i === h.buckets.length - 1) chart.append(svg("text", { x: i ? W : 0, y: H - 4, "text-anchor": i ? "end" : "start" }, micro(up / 1e3)));
  });
  return el("figure", {}, el("figcaption", {}, said), chart);
}

// -- begin ----------------------------------------------------------------------------------------------------------------

for (const button of document.querySelectorAll("dialog .close")) button.addEventListener("click", () => button.closest("dialog").close());
for (const id of ["orders-which", "orders-filter"]) $(id).addEventListener("input", drawOrders);
for (const id of ["events-least", "events-filter"]) $(id).addEventListener("input", drawEvents);
$("limits-all").addEventListener("change", drawLimits);
$("latency-what").addEventListener("change", drawLatency);
$("depth-book").addEventListener("change", askDepth);
$("events-pause").addEventListener("click", (e) => {
  shownEvents = shownEvents === null ? state.events : null;
  e.target.setAttribute("aria-pressed", String(shownEvents !== null));
  put(e.target, shownEvents === null ? "Pause" : "Go on");
  drawEvents();
});
new IntersectionObserver((found) => { depthSeen = found[found.length - 1].isIntersecting; }).observe($("depth"));
setInterval(() => { if (depthSeen && !document.hidden) askDepth(); }, DEPTH_MS);
setInterval(look, 500);
setInterval(() => { if (session.operator) learnSession().catch(() => {}); }, 60000);
reconnect();
