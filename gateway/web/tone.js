// One tone per outcome, told apart without looking: two rising notes for ADMIT, high-low-high for
// REFER, three equal notes for HOLD, one long low buzz for DENY. Beside them: two falling notes for a
// code shown again, one short note for a card that was not taken, three falling ones for a barrier
// that did not open. A browser keeps audio locked until the first touch or key.

const TONES = {
  ADMIT: { wave: "sine", notes: [[880, 0.12], [1320, 0.22]] },
  REFER: { wave: "triangle", notes: [[988, 0.16], [659, 0.16], [988, 0.16], [659, 0.24]] },
  HOLD: { wave: "triangle", notes: [[587, 0.13], [0, 0.09], [587, 0.13], [0, 0.09], [587, 0.13]] },
  DENY: { wave: "square", notes: [[185, 0.75]] },
  REPEAT: { wave: "triangle", notes: [[784, 0.16], [0, 0.06], [523, 0.3]] },
  OTHER: { wave: "sine", notes: [[698, 0.12]] },
  UNOPENED: { wave: "square", notes: [[659, 0.16], [494, 0.16], [330, 0.4]] },
};
const VOLUME = 0.4;
const EDGE_S = 0.012;

let context = null;

/** Unlocks audio at the first touch or key; `onChange(ready)` tells whether a tone can be heard. */
export function prepareTones(onChange) {
  const Context = window.AudioContext;
  if (!Context) return;
  context = new Context();
  const report = () => onChange(context.state === "running");
  context.addEventListener("statechange", report);
  for (const name of ["pointerdown", "keydown"]) {
    addEventListener(name, () => {
      if (context.state !== "running") context.resume().then(report, report);
    });
  }
  report();
}

export function playTone(name) {
  const tone = TONES[name];
  if (!tone || !context || context.state !== "running") return;
  let at = context.currentTime + 0.02;
  for (const [hertz, seconds] of tone.notes) {
    if (hertz > 0) playNote(tone.wave, hertz, at, seconds);
    at += seconds;
  }
}

function playNote(wave, hertz, at, seconds) {
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.type = wave;
  oscillator.frequency.value = hertz;
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(VOLUME, at + EDGE_S);
  gain.gain.setValueAtTime(VOLUME, at + seconds - EDGE_S);
  gain.gain.linearRampToValueAtTime(0, at + seconds);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(at);
  oscillator.stop(at + seconds);
}
