// A photo through the `spotter` part of a run, in the browser: its artifact score and its heat map.
// The model is the folder that `tf-spot export RUN --part spotter --format onnx --out export/web/model` writes.
const RUNTIME = "./node_modules/onnxruntime-web/dist/ort.wasm.min.mjs";
const MODEL = new URLSearchParams(location.search).get("model") ?? "model";
const LARGEST = 640; // pixels, the longer side of what is shown
const at = (id) => document.getElementById(id);

let ort; // onnxruntime-web
let shown; // {photo, heatMap}
let asked = 0; // photos so far: an answer that comes after the next photo is dropped

function say(text, kind = "") {
  at("status").textContent = text;
  at("status").dataset.kind = kind;
}

async function fetched(name) {
  const answer = await fetch(`${MODEL}/${name}`);
  if (!answer.ok) throw new Error(`${MODEL}/${name} is missing (${answer.status})`);
  return answer;
}

async function download() {
  const manifest = await (await fetched("manifest.json")).json();
  if (manifest.part !== "spotter" || manifest.format !== "onnx") {
    throw new Error(`the page wants the part spotter as ONNX; received: ${manifest.part}, ${manifest.format}`);
  }
  return { manifest, bytes: await (await fetched(manifest.artifact)).arrayBuffer() };
}

// What `work` gives, or its error with what to do about it.
async function or(cure, work) {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${error.message}. ${cure}`);
  }
}

async function open() {
  const { manifest, bytes } = await or(
    "Make the model with: tf-spot export RUN --part spotter --format onnx --out export/web/model",
    download,
  );
  ort = await or("Run npm install in export/web first.", () => import(RUNTIME));
  ort.env.wasm.numThreads = 1; // more need a server that isolates the page
  const session = await or("The model is there, but this browser could not start it in WebAssembly.", () =>
    ort.InferenceSession.create(bytes, { executionProviders: ["wasm"] }));
  return { session, size: manifest.inputs.images.shape[1] };
}

// The whole photo squeezed into the model's square, as RGB in [0, 255]; transparency over white.
async function pixels(file, size) {
  const square = await createImageBitmap(file, { resizeWidth: size, resizeHeight: size, resizeQuality: "high" });
  const context = new OffscreenCanvas(size, size).getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, size, size);
  context.drawImage(square, 0, 0);
  const rgba = context.getImageData(0, 0, size, size).data;
  return Float32Array.from({ length: 3 * size * size }, (_, i) => rgba[4 * Math.floor(i / 3) + (i % 3)]);
}

async function ask({ session, size }, file) {
  const images = new ort.Tensor("float32", await pixels(file, size), [1, size, size, 3]);
  const started = performance.now();
  const { artifact_score: score, heat_map: heatMap } = await session.run({ images });
  const milliseconds = performance.now() - started;
  return { score: score.data[0], values: Array.from(heatMap.data), grid: heatMap.dims.slice(1), milliseconds };
}

// Cells above the map's middle value in orange: a map tells where, not how much.
function heatMapPicture({ values, grid: [height, width] }) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const sorted = [...values].sort((a, b) => a - b);
  const [middle, highest] = [sorted[Math.floor(sorted.length / 2)], sorted.at(-1)];
  values.forEach((value, i) => {
    const share = highest > middle ? Math.max(0, (value - middle) / (highest - middle)) : 0;
    picture.data.set([255, 110, 0, 255 * share], 4 * i);
  });
  context.putImageData(picture, 0, 0);
  return canvas;
}

function draw() {
  if (!shown) return;
  const { photo, heatMap } = shown;
  const scale = Math.min(1, LARGEST / Math.max(photo.width, photo.height));
  const canvas = at("picture");
  [canvas.width, canvas.height] = [Math.round(scale * photo.width), Math.round(scale * photo.height)];
  const context = canvas.getContext("2d");
  context.drawImage(photo, 0, 0, canvas.width, canvas.height);
  context.globalAlpha = at("strength").value / 100;
  context.drawImage(heatMap, 0, 0, canvas.width, canvas.height);
}

async function show(model, file) {
  if (!file) return;
  const number = ++asked;
  at("answer").hidden = true;
  say(`Looking at ${file.name} …`);
  let photo;
  try {
    photo = await createImageBitmap(file);
  } catch {
    if (number === asked) {
      say(`${file.name} is not a picture that this browser can read. Choose a JPEG, PNG or WebP file.`, "error");
    }
    return;
  }
  const answer = await ask(model, file);
  if (number !== asked) return;
  shown = { photo, heatMap: heatMapPicture(answer) };
  at("answer").hidden = false;
  draw();
  at("score").textContent = answer.score.toFixed(2);
  at("seconds").textContent = `${answer.milliseconds.toFixed(0)} ms`;
  at("answer").dataset.answer = JSON.stringify({ score: answer.score, heatMap: answer.values, grid: answer.grid });
  say(file.name);
}

const model = open();
model.then(() => say("Ready."), (error) => say(`The page is not ready: ${error.message}`, "error"));

// A photo that comes before the model waits for it; without a model the message above stays.
function take(file) {
  model.then((opened) => show(opened, file).catch((error) => say(`That failed: ${error.message}`, "error")), () => {});
}

at("file").addEventListener("change", (event) => take(event.target.files[0]));
at("strength").addEventListener("input", draw);
for (const name of ["dragover", "dragleave", "drop"]) {
  addEventListener(name, (event) => {
    event.preventDefault(); // else the browser leaves the page to show the photo
    at("drop").classList.toggle("over", name === "dragover");
    if (name === "drop") take(event.dataTransfer.files[0]);
  });
}
