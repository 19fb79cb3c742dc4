"use strict";
// Sends each picture to /predict, one after the other, and shows what is said of it. What comes from the
// server is text, never markup.
const megabytes = Number(document.currentScript.dataset.megabytes);
const drop = document.getElementById("drop");
const files = document.getElementById("files");
const status = document.getElementById("status");
const answers = document.getElementById("answers");
const waiting = [];
let busy = false;

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function percent(share) {
  return (100 * share).toFixed(1) + "%";
}

function image(source, alt) {
  const made = element("img");
  made.src = source;
  made.alt = alt;
  return made;
}

function ofTask(card, name, task, several) {
  if (several) card.append(element("h4", name));
  for (const { label, probability } of task.labels) {
    const row = element("div", undefined, "row");
    const bar = element("i");
    bar.style.width = percent(probability);
    const cell = element("span");
    cell.append(bar);
    row.append(element("span", label), cell, element("span", percent(probability)));
    card.append(row);
  }
  if (task.unsure) {
    card.append(element("p", "Unsure: answers with so low a probability are wrong too often.", "note"));
  }
}

function heatMaps(whole, picture, tasks, alt) {
  const choices = element("fieldset", undefined, "views");
  choices.append(element("legend", "What it looks at", "quiet"));
  const group = "view-" + answers.childElementCount;
  const sources = [["the picture", picture.src]];
  for (const [name, task] of Object.entries(tasks)) {
    if (task.heat_map) sources.push(["for " + name + ": " + task.labels[0].label, task.heat_map]);
  }
  if (sources.length < 2) return;
  sources.forEach(([name, source], number) => {
    const label = element("label");
    const choice = element("input");
    choice.type = "radio";
    choice.name = group;
    choice.checked = number === 0;
    choice.addEventListener("change", () => {
      picture.src = source;
      picture.alt = number === 0 ? alt : alt + ", coloured where the network looks " + name;
    });
    label.append(choice, " " + name);
    choices.append(label);
  });
  whole.append(choices);
}

function nearest(card, works) {
  const section = element("div", undefined, "near");
  section.append(element("h4", "The nearest works of train, as the network sees them"));
  const sheet = element("div", undefined, "sheet");
  for (const work of works) {
    const figure = element("figure");
    const labels = Object.values(work.labels).join(", ");
    if (work.picture) figure.append(image(work.picture, work.file_name));
    figure.append(element("figcaption", work.similarity.toFixed(2) + " " + labels + " — " + work.file_name));
    sheet.append(figure);
  }
  section.append(sheet);
  card.append(section);
}

function show(file, said) {
  const card = element("article", undefined, "answer card");
  const whole = element("div", undefined, "whole");
  const text = element("div");
  text.append(element("h3", file.name));
  if (said.error) {
    text.append(element("p", said.error, "note"));
  } else {
    // The browser shows no TIFF; the cleaned picture is always there.
    const picture = image(said.picture, file.name);
    whole.append(picture);
    heatMaps(whole, picture, said.tasks, file.name);
    const tasks = Object.entries(said.tasks);
    for (const [name, task] of tasks) ofTask(text, name, task, tasks.length > 1);
    if (said.unlike_train) {
      text.append(element("p", "Unlike anything in train: do not rely on this answer.", "note"));
    }
  }
  card.append(whole, text);
  if (said.nearest && said.nearest.length) nearest(card, said.nearest);
  answers.prepend(card);
}

async function ask(file) {
  if (file.size > megabytes * 1e6) {
    return { error: "the file is larger than " + megabytes + " MB" };
  }
  for (;;) {
    let response;
    try {
      response = await fetch("predict", { method: "POST", body: file });
    } catch {
      return { error: "the server does not answer, or the file cannot be read" };
    }
    if (response.status !== 429 && response.status !== 503) {
      try {
        return await response.json();
      } catch {
        return { error: "the server answered with status " + response.status };
      }
    }
    const seconds = Number(response.headers.get("retry-after")) || 2;
    status.textContent = "waiting " + seconds + " s: the server is busy";
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  }
}

async function work() {
  if (busy) return;
  busy = true;
  let done = 0;
  while (waiting.length) {
    const file = waiting.shift();
    status.textContent = "looking at " + file.name + (waiting.length ? ", " + waiting.length + " to go" : "");
    show(file, await ask(file));
    done += 1;
  }
  status.textContent = done + (done === 1 ? " picture" : " pictures") + " done";
  busy = false;
}

function add(list) {
  waiting.push(...list);
  work();
}

files.addEventListener("change", () => {
  add([...files.files]);
  files.value = "";
});
for (const name of ["dragover", "dragenter"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add([...event.dataTransfer.files]);
});
document.addEventListener("paste", (event) => add([...event.clipboardData.files]));
