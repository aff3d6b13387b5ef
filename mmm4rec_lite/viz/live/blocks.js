/** The model's blocks: where each stands in the drawing, what it is called, what comes out of it at every step. No DOM. */

/** lane: 0 text, 1 time, 2 pictures; place: from left to right; time: only there where times are read. */
export const BLOCKS = [
  { id: "text", lane: 0, place: 0, title: "Text vectors", equation: "2", out: (trace, { streams }) => streams.text,
    about: "Each item's text has been encoded once, by a frozen encoder (f); a learned linear map Ψ makes a short vector of it. "
      + "A model with item ids adds a learned vector E of the item's own. LayerNorm (LN) gives all of them one size." },
  { id: "gap", lane: 1, place: 0, time: true, title: "Gap signal D", equation: "5", out: (trace, { streams }) => steps(streams.dText),
    about: "The pause before each item as a number without unit: 0 is a usual pause, 2 a very long one. The first item has none." },
  { id: "image", lane: 2, place: 0, title: "Picture vectors", equation: "2", out: (trace, { streams }) => streams.image,
    about: "The same for the pictures, by a map of their own. An item without a picture gets what the map makes of zeros." },
  { id: "ssd_text", lane: 0, place: 1, title: "TiSSD, text", equation: "3 to 8", out: (trace, { text }) => text.out,
    about: "A state space block: each head carries a state along the history. Every step shrinks the state, the more the longer "
      + "the step, then adds the new item. The decay mask shows what is left of each past item." },
  { id: "scale", lane: 1, place: 1, time: true, title: "α and D̂", equation: "5", out: (trace, { text, image }) => joined(text.time.dHat, image.time.dHat),
    about: "A small network computes α from the gaps of the whole window; α D then goes through two convolutions per head. "
      + "The result D̂ makes every step longer or shorter." },
  { id: "ssd_image", lane: 2, place: 1, title: "TiSSD, pictures", equation: "3 to 8", out: (trace, { image }) => image.out,
    about: "The same over the pictures. With shared weights one block reads both, which is how the paper aligns texts and "
      + "pictures." },
  { id: "align_text", lane: 0, place: 2, title: "Aligned text", equation: "10, 11", out: (trace, { pText }) => pText,
    about: "The block's output is added to its input, normed, and passed through a small feed-forward network." },
  { id: "enhanced", lane: 1, place: 2, time: true, title: "Enhanced signal", equation: "9",
    out: (trace, { text, image }) => joined(text.enhanced.signal, image.enhanced.signal),
    about: "A gate mixes the plain gap signal D with D̂, once for the texts and once for the pictures; the mixture goes on "
      + "to the filter." },
  { id: "align_image", lane: 2, place: 2, title: "Aligned pictures", equation: "10, 11", out: (trace, { pImage }) => pImage,
    about: "The same for the pictures." },
  { id: "filter", lane: 1, place: 3, time: true, title: "Fourier filter", equation: "12 to 16", out: (trace, { filter }) => steps(filter.map(head => head.signal)),
    about: "Both time signals are split into frequencies (waves per window); learned filters scale each frequency, and the "
      + "sum becomes one signal again." },
  { id: "fusion", lane: 1, place: 4, title: "TiCoSSD", equation: "17, 18", out: (trace, { fusion }) => fusion.out,
    about: "A state space block over two sequences: the texts give what the state takes in (B, X, Δ), the pictures how it is read (C)." },
  { id: "fused", lane: 1, place: 5, title: "Fused, y", equation: "19", out: (trace, { fused }) => fused,
    about: "The fusion's output, the aligned pictures and the aligned texts are added, normed and passed through a small "
      + "network. The last step is the user's vector." },
  { id: "scores", lane: 1, place: 6, title: "Scores", equation: "20", out: trace => [trace.user],
    about: "The user's vector is compared with every item's text vector and picture vector, each at length 1; the sum is the score." },
];

/** From which block to which. */
export const ARROWS = [["text", "ssd_text"], ["image", "ssd_image"], ["gap", "scale"], ["scale", "ssd_text"], ["scale", "ssd_image"],
  ["ssd_text", "align_text"], ["ssd_image", "align_image"], ["scale", "enhanced"], ["enhanced", "filter"], ["filter", "fusion"],
  ["align_text", "fusion"], ["align_image", "fusion"], ["align_text", "fused"], ["align_image", "fused"], ["fusion", "fused"],
  ["fused", "scores"]];

/** "equation 2", "equations 3 to 8". */
export const equationOf = ({ equation }) => `equation${/\D/.test(equation) ? "s" : ""} ${equation}`;

export const blockOf = id => BLOCKS.find(block => block.id === id);

/** H signals over the window -> a row per step. */
export const steps = signals => Array.from(signals[0], (_, t) => signals.map(signal => signal[t]));

const joined = (a, b) => steps([...a, ...b]);

/** What enters the scan of a block: its trace, of "ssd_text", "ssd_image" or "fusion". */
export const scanOf = (layer, id) => layer[{ ssd_text: "text", ssd_image: "image", fusion: "fusion" }[id]];

/** By how much each step of a block differs between two passes, over its length: [n] shares; for "scores" one. */
export function change(block, trace, other, layer) {
  if (block.time && !trace.time) return [];
  const [a, b] = [trace, other].map(one => block.out(one, one.layers[layer]));
  return a.slice(0, trace.n).map((row, t) => {
    let moved = 0, size = 0;
    for (let c = 0; c < row.length; c++) {
      moved += (row[c] - b[t][c]) ** 2;
      size += row[c] ** 2;
    }
    return moved < 1e-18 ? 0 : size ? Math.sqrt(moved / size) : 1;
  });
}
