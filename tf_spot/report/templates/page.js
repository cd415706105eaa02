for (const film of document.querySelectorAll(".film")) {
  const slider = film.querySelector("input"), frames = film.querySelectorAll("figure");
  if (!slider) continue;
  const show = () => frames.forEach((frame, i) => frame.classList.toggle("on", i === Number(slider.value)));
  slider.addEventListener("input", show);
  film.classList.add("live");
  slider.hidden = false;
  slider.value = slider.max;  // browsers keep where it stood when a page is loaded again
  show();
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));
