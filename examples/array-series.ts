/**
 * A time series that grows row by row and survives whatever happens: `array-series.ts STORE [ROWS]`. Run it again, and it
 * goes on where it ended.
 */
import process from "node:process";
import { openStore } from "outcore/array";

const [, , folder = "/tmp/outcore-series.store", rows = "10000"] = process.argv;
const store = openStore(folder);
if (!store.names.includes("prices"))
  await store.transact(() => {
    store.create("time", { dtype: "f64", shape: 0 });
    store.create("prices", { dtype: "f32", shape: [0, 4], attributes: { columns: "open high low close" } });
  });
const [time, prices] = [store.array("time", "f64"), store.array("prices", "f32")];
const before = time.size;

/* A hundred rows a transaction: both arrays grow, or neither does. */
for (let done = 0; done < Number(rows); done += 100)
  await store.transact(() => {
    const first = time.size;
    time.append(Float64Array.from({ length: 100 }, (_, i) => (first + i) * 60));
    const drawn = Float32Array.from({ length: 400 }, (_, i) => 100 + Math.sin((first * 4 + i) / 50));
    prices.append(drawn);
  });

const close = prices.view(":", 3); // a column: a view with strides, no copy
const last = close.view([-100]).toTyped();
const average = last.reduce((sum, value) => sum + value, 0) / last.length;
console.log(`${before} rows were there, ${time.size} are now, ${prices.shape.join(" x ")} prices`);
console.log(`mean of the last 100 closing prices: ${average.toFixed(2)}`);
store.close();
