// Checks of a scene's page: two pictures under a slider by keyboard and pointer, flicker, zoom, and keys for the next scene.

import { expect, expectEqual } from "./harness.mjs";

/** Returns how the two pictures of the stage are shown. */
function readStage(page) {
  return page.evaluate(() => {
    const stage = document.querySelector("[data-viewer]");
    const [left, right] = stage.querySelectorAll("figure");
    const image = (figure) => {
      const { x, y, width } = figure.querySelector("img").getBoundingClientRect();
      const area = stage.getBoundingClientRect();
      return { x: Math.round(x - area.x), y: Math.round(y - area.y), width: Math.round(width), source: figure.querySelector("img").src };
    };
    return {
      left: image(left),
      right: image(right),
      // The share of the stage that the right picture leaves free.
      cut: Number(getComputedStyle(right).clipPath.match(/([\d.]+)%\)$/)?.[1] ?? 0),
      area: stage.getBoundingClientRect().toJSON(),
    };
  });
}

/** Checks that both pictures are at the same place, at the same size. */
function expectTogether({ left, right }) {
  expectEqual([right.x, right.y, right.width], [left.x, left.y, left.width], "place and width of the right picture, as the left one's");
}

export async function scene(start, { run, dataset, scenes }) {
  const session = await start();
  const page = await session.open(`runs/${run}/scenes/${dataset}/~none/${scenes[0]}.html`);
  await session.expectPictures(10);
  await expectSlider(page);
  await expectChoice(page);
  await expectZoom(page);
  await expectFlicker(session);
  await expectKeys(session, scenes);
}

const slider = (page) => page.getByRole("slider", { name: /line between the two pictures/i });

async function expectSlider(page) {
  const value = async () => Number(await slider(page).inputValue());
  expectEqual([await value(), (await readStage(page)).cut], [50, 50], "the line at first");
  await slider(page).focus();
  for (let press = 0; press < 5; press++) await page.keyboard.press("ArrowRight");
  expectEqual([await value(), (await readStage(page)).cut], [55, 55], "the line after five presses of a key");
  await page.keyboard.press("Home");
  expectEqual([await value(), (await readStage(page)).cut], [0, 0], "the line after Home");

  const { area } = await readStage(page);
  const at = (share) => [area.x + area.width * share, area.y + area.height / 2];
  await page.mouse.move(...at(0.3));
  await page.mouse.down();
  const pressed = await value();
  expect(Math.abs(pressed - 30) <= 1, `the line where the pointer is pressed, at 30, found ${pressed}`);
  await page.mouse.move(...at(0.8), { steps: 4 });
  await page.mouse.up();
  const [dragged, { cut }] = [await value(), await readStage(page)];
  expect(Math.abs(dragged - 80) <= 1 && Math.abs(cut - 80) <= 1, `the line where it was dragged to, at 80, found ${dragged} and ${cut}`);
  await page.mouse.move(...at(0.1));
  expectEqual(await value(), dragged, "the line after the pointer was released");
}

async function expectChoice(page) {
  const choice = page.getByRole("combobox", { name: "left" });
  const options = await choice.getByRole("option").allInnerTexts();
  const before = await readStage(page);
  const other = options.find((option) => option !== options[0] && !/input|clear/.test(option));
  await choice.selectOption({ label: other });
  const after = await readStage(page);
  expect(after.left.source !== before.left.source && after.left.source.includes(other), `the picture of ${other} at the left, found ${after.left.source}`);
  expectEqual(after.right.source, before.right.source, "the right picture");
}

async function expectZoom(page) {
  const { left: whole, area } = await readStage(page);
  await page.getByRole("button", { name: "Zoom in" }).click();
  const zoomed = await readStage(page);
  expectTogether(zoomed);
  expect(zoomed.left.width > whole.width, `a wider picture than ${whole.width}, found ${zoomed.left.width}`);
  await page.mouse.move(area.x + area.width * 0.25, area.y + area.height * 0.25);
  await page.mouse.wheel(0, -400);
  await page.waitForFunction((width) => document.querySelector("[data-viewer] img").getBoundingClientRect().width > width + 1, zoomed.left.width);
  const wheeled = await readStage(page);
  expectTogether(wheeled);
  await page.mouse.down();
  await page.mouse.move(area.x + area.width * 0.2, area.y + area.height * 0.2, { steps: 3 });
  await page.mouse.up();
  const panned = await readStage(page);
  expectTogether(panned);
  expect(panned.left.x < wheeled.left.x && panned.left.y < wheeled.left.y, "pictures that follow the pointer");
  await page.getByRole("button", { name: "Zoom out" }).click();
  expect((await readStage(page)).left.width < panned.left.width, "a narrower picture after zooming out");
  await page.getByRole("button", { name: "Reset" }).click();
  expectEqual((await readStage(page)).left.width, whole.width, "the width after a reset");
}

async function expectFlicker(session) {
  const { page } = session;
  const button = page.getByRole("button", { name: "Flicker" });
  const shown = (visibility) => session.wait(
    `a right picture that is ${visibility}`,
    (wanted) => getComputedStyle(document.querySelectorAll("[data-viewer] figure")[1]).visibility === wanted,
    visibility,
  );
  await button.click();
  expectEqual(await button.getAttribute("aria-pressed"), "true", "the button while the pictures flicker");
  for (const visibility of ["hidden", "visible", "hidden"]) await shown(visibility);
  await button.click();
  expectEqual(await button.getAttribute("aria-pressed"), "false", "the button afterwards");
  await shown("visible");
}

async function expectKeys(session, scenes) {
  const { page } = session;
  await slider(page).focus();
  await page.keyboard.press("ArrowLeft");
  expect(page.url().endsWith(`/${scenes[0]}.html`), "the slider keeps the arrow keys");
  await slider(page).blur();
  for (const [key, wanted] of [["ArrowRight", scenes[1]], ["ArrowRight", scenes[2]], ["ArrowLeft", scenes[1]]]) {
    await page.keyboard.press(key);
    await page.waitForURL(`**/${wanted}.html`);
    await session.check();
    expectEqual(await page.getByRole("heading", { level: 1 }).innerText(), wanted, "the scene");
  }
  await session.expectPictures(10);
}
