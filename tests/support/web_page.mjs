// What a visitor of the page does: node web_page.mjs URL CHROMIUM PHOTO NO_PHOTO SCREENSHOT [BLOCKED]
// Prints {first, byInput, byDrop, noPhoto, errors} as JSON. Files whose address has BLOCKED in it do not arrive.
import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const [url, executablePath, photo, noPhoto, screenshot, blocked] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 390, height: 844 } });
const errors = [];
page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
page.on("pageerror", (error) => errors.push(String(error)));
if (blocked) await page.route((address) => address.pathname.includes(blocked), (route) => route.abort());
await page.goto(url);
const status = () => page.textContent("#status");
await page.waitForFunction(() => !document.getElementById("status").textContent.startsWith("Loading"));
const found = { first: await status() };
const answer = async () => {
  await page.waitForSelector("#answer:not([hidden])");
  return JSON.parse(await page.getAttribute("#answer", "data-answer"));
};
if (found.first === "Ready.") {
  await page.setInputFiles("#file", photo);
  found.byInput = await answer();
  await page.screenshot({ path: screenshot, fullPage: true });

  await page.setInputFiles("#file", noPhoto);
  await page.waitForSelector("#status[data-kind=error]");
  found.noPhoto = await status();
  found.answerHidden = await page.isHidden("#answer");

  const transfer = await page.evaluateHandle(([bytes]) => {
    const data = new DataTransfer();
    data.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "dropped.png", { type: "image/png" }));
    return data;
  }, [(await readFile(photo)).toString("base64")]);
  await page.dispatchEvent("#drop", "drop", { dataTransfer: transfer });
  found.byDrop = await answer();
}
console.log(JSON.stringify({ ...found, errors }));
await browser.close();
