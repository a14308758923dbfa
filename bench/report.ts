import type { CaseResult, Target } from "./area.ts";

/** Three significant digits, thousands apart. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "-";
  if (value > 0 && value < 0.01) return value.toExponential(2);
  if (value >= 1000) return Math.round(value).toLocaleString("en-US");
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(value < 1 ? 4 : 2);
}

/** Whether a result is within its target, and the target in words. */
function judge(result: CaseResult, target: Target): { met: boolean; words: string } {
  const base = target.peer === undefined ? 1 : result.peers[target.peer];
  const words =
    target.peer === undefined ? `<= ${figure(target.atMost)} ${result.unit}` : `<= ${target.atMost}x ${target.peer}`;
  return { met: base !== undefined && result.ours <= target.atMost * base, words };
}

/** One case as lines of a table: ours, then each peer with the ratio of ours to it. */
export function caseLines(result: CaseResult): string[] {
  const { ours, peers, target } = result;
  const verdict = target && judge(result, target);
  const mark = verdict ? `${verdict.met ? "met" : "MISSED"}  ${verdict.words}` : "";
  const lines = [`${result.case.padEnd(18)}${figure(ours).padStart(12)} ${result.unit.padEnd(6)}${mark}`.trimEnd()];
  const tail = (cost: number | undefined): string => (cost === undefined ? "" : `, p99 ${figure(cost)}`);
  if (result.p99) lines[0] = `${lines[0]}${tail(result.p99.ours)}`;
  for (const [name, cost] of Object.entries(peers)) {
    const ratio = `ours is ${(ours / cost).toFixed(2)}x${tail(result.p99?.peers[name])}`;
    const further = result.more?.find(({ peer }) => peer === name);
    const judged = further && judge(result, further);
    const words = judged ? `, ${judged.met ? "met" : "MISSED"} ${judged.words}` : "";
    lines.push(`  ${name.padEnd(16)}${figure(cost).padStart(12)} ${result.unit.padEnd(6)}${ratio}${words}`);
  }
  return lines;
}

/** Cases down, runtimes across: ours, and whether the target is met. */
export function summary(results: ReadonlyMap<string, readonly CaseResult[]>): string[] {
  const names = [...new Set([...results.values()].flat().map((each) => each.case))];
  const lines = [["case".padEnd(18), ...[...results.keys()].map((name) => name.padStart(14)), "  target"].join("")];
  for (const name of names) {
    const cells = [...results.values()].map((list) => {
      const result = list.find((each) => each.case === name);
      if (!result) return "-".padStart(14);
      const { target, ours } = result;
      const base = target?.peer === undefined ? 1 : (result.peers[target.peer] ?? Number.NaN);
      const shown = target?.peer === undefined ? figure(ours) : `${(ours / base).toFixed(2)}x`;
      return `${shown}${target && !judge(result, target).met ? " !" : "  "}`.padStart(14);
    });
    const target = [...results.values()].flat().find((each) => each.case === name && each.target);
    lines.push([name.padEnd(18), ...cells, target?.target ? `  ${judge(target, target.target).words}` : ""].join(""));
  }
  return lines;
}
