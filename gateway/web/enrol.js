// Shows where enrolment stands. When the box has become a gateway, its own pages are here.
const at = (id) => document.getElementById(id);
const ORDER = { scan: "scan", refused: "scan", asking: "asking", kept: "asking", compare: "compare", done: "done" };

function show(stage) {
  document.body.dataset.step = stage.step;
  at("zh").textContent = stage.text.zh;
  at("en").textContent = stage.text.en;
  at("name").textContent = stage.name ?? "";
  at("digits").textContent = stage.digits ?? "";
  at("match").hidden = !stage.digits || !["asking", "compare"].includes(stage.step);
  at("detail").textContent = stage.step === "kept" ? stage.detail : "";
  at("not-taken").hidden = !stage.not_taken;
  at("not-taken-zh").textContent = stage.not_taken?.zh ?? "";
  at("not-taken-en").textContent = stage.not_taken?.en ?? "";
  for (const step of document.querySelectorAll(".enrol-steps li")) {
    step.toggleAttribute("data-now", step.dataset.of === ORDER[stage.step]);
  }
}

function lost() {
  document.body.dataset.step = "connecting";
  at("zh").textContent = "设备正在启动";
  at("en").textContent = "The box is starting";
  at("match").hidden = true;
  at("not-taken").hidden = true;
}

async function look() {
  try {
    const answer = await fetch("/api/v1/enrolment", { cache: "no-store" });
    if (answer.ok) {
      show(await answer.json());
    } else if (answer.status === 404) {
      // No empty box any more: the gateway serves its own pages.
      location.replace("/");
      return;
    }
  } catch {
    lost();
  }
  setTimeout(look, 1000);
}

look();
