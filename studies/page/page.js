// The table, its filters kept in the address, and the charts. Everything it needs is in this file.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const bytes = Uint8Array.from(atob(document.getElementById("tables-source").textContent), (c) => c.charCodeAt(0));
const source = URL.createObjectURL(new Blob([bytes], { type: "text/javascript" }));
const { jQuery } = await import(source); // DataTables comes as its plug-in
const columns = read("columns"), lines = read("lines");
const NUMBERS = new Set(["value", "sd", "published", "n"]);
const FILTERED = ["study", "data set", "model", "method"];
const details = columns.length;

const table = jQuery("#results").DataTable({
  data: lines,
  columns: columns.map((title) => ({
    title, className: NUMBERS.has(title) ? "number" : "", defaultContent: "",
    render: NUMBERS.has(title) ? (value, kind) => (value === null ? (kind === "display" ? "" : -1) : value) : undefined,
  })),
  deferRender: true, pageLength: 25, order: [], autoWidth: false,
  createdRow: (row) => { row.tabIndex = 0; },
});

function facts(line) {
  const list = document.createElement("dl");
  list.className = "facts";
  for (const [name, value] of Object.entries(line[details])) {
    if (value === null || value === undefined) continue;
    const term = document.createElement("dt"), said = document.createElement("dd");
    term.textContent = name;
    said.textContent = typeof value === "object" ? JSON.stringify(value, null, 1) : String(value);
    list.append(term, said);
  }
  return list;
}

function toggle(element) {
  const row = table.row(element);
  if (!row.data()) return;
  if (row.child.isShown()) row.child.hide(); else row.child(facts(row.data())).show();
}
const body = document.querySelector("#results tbody");
body.addEventListener("click", (event) => toggle(event.target.closest("tr")));
body.addEventListener("keydown", (event) => {
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(event.target.closest("tr")); }
});

// Filters: one select a column, and DataTables' own search; both in the address after "#".
const wanted = new URLSearchParams(location.hash.slice(1));
const form = document.getElementById("filters");
const selects = FILTERED.map((name) => {
  const place = columns.indexOf(name), label = document.createElement("label"), select = document.createElement("select");
  label.textContent = name;
  select.name = name;
  for (const value of ["", ...new Set(lines.map((line) => line[place]))]) select.add(new Option(value || "all", value));
  select.value = wanted.get(name) ?? "";
  label.append(select);
  form.append(label);
  select.addEventListener("change", apply);
  return { name, place, select };
});

function apply() {
  for (const { place, select } of selects) {
    const exact = select.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    table.column(place).search(select.value ? `^${exact}$` : "", true, false);
  }
  table.draw();
}

function remember() {
  const kept = new URLSearchParams();
  for (const { name, select } of selects) if (select.value) kept.set(name, select.value);
  if (table.search()) kept.set("search", table.search());
  history.replaceState(null, "", kept.size ? `#${kept}` : location.pathname + location.search);
}
if (wanted.get("search")) table.search(wanted.get("search"));
apply();
table.on("draw", remember);

// Charts take the colours of the page.
const charts = document.getElementById("charts");
const look = () => ({
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  "font.color": getComputedStyle(document.body).color,
  "xaxis.gridcolor": "rgba(128,128,128,.25)", "yaxis.gridcolor": "rgba(128,128,128,.25)",
});
const drawn = [];
for (const { title, data, layout } of read("drawn")) {
  const heading = document.createElement("h2"), place = document.createElement("div");
  heading.textContent = title;
  place.className = "chart";
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", title);
  charts.append(heading, place);
  const fitted = { margin: { t: 16, r: 16, l: 64, b: 56 }, height: 420, ...layout };
  place.style.height = `${fitted.height}px`;
  drawn.push(Plotly.newPlot(place, data, fitted, { responsive: true, displaylogo: false })
    .then(() => Plotly.relayout(place, look())));
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  for (const place of document.querySelectorAll(".chart")) Plotly.relayout(place, look());
});
await Promise.all(drawn);
window.page = { table, lines: lines.length, charts: drawn.length, ready: true };
