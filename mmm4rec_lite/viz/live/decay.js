/** What one head keeps of a history, in closed form: the numbers of mmm4rec_lite/analysis/decay.py. No DOM. */

export const softplus = x => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** The bias whose softplus is `base`, also for a tiny one. */
export const inverseSoftplus = base => base + Math.log(-Math.expm1(-base));

/** M_ts = exp(A (dt_{s+1} + .. + dt_t)) for s <= t, else 0: row t reads column s (eq. 8). */
export function decayMask(dt, A) {
  return Array.from(dt, (_, t) => {
    const row = new Array(dt.length).fill(0);
    for (let s = t, sum = 0; s >= 0; sum += dt[s], s--) row[s] = Math.exp(A * sum);
    return row;
  });
}

/** Mask, what is left of each item at the last step, its share of the state, half-lives. gaps: seconds, one per item. */
export function leftOver(gaps, dt, A) {
  const mask = decayMask(dt, A), left = mask[mask.length - 1], entered = left.map((value, s) => value * dt[s]);
  const sum = values => values.reduce((a, b) => a + b, 0);
  const total = sum(entered), rate = -A * sum(Array.from(dt).slice(1));
  const life = size => gaps.length === 1 ? NaN : rate ? size * Math.LN2 / rate : Infinity;
  return { mask, left, weight: entered.map(value => total ? value / total : value),
    half_life_steps: life(gaps.length - 1), half_life_seconds: life(sum(gaps.slice(1))) };
}

/** One head with numbers of its own. gaps: seconds before each item, oldest first (the first is not looked at);
    A < 0; base > 0, the step after an average gap; without time every step is softplus(delta + bias). */
export function explore(gaps, A, delta, base, time, logMean, logStd) {
  const bias = inverseSoftplus(base);
  const d = gaps.map((gap, t) => time && t > 0 ? (Math.log1p(gap) - logMean) / logStd : 0);
  const dt = d.map(value => softplus((time ? delta * value : delta) + bias));
  return { d, dt, ...leftOver(gaps, dt, A) };
}
