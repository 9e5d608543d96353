// BullMQ: 100 jobs at a time, nothing kept of a finished one. Speaks the lines of protocol.py.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const { Queue, Worker } = createRequire(`${process.env.BENCH_MODULES}/`)("bullmq");
const IN_FLIGHT = 50;
const GAP_MS = 20;

const url = new URL(process.env.BENCH_REDIS);
const connection = { path: url.pathname, db: Number(url.searchParams.get("db")), maxRetriesPerRequest: null };
const say = (figures) => process.stdout.write(JSON.stringify(figures) + "\n");
const now = () => performance.timeOrigin + performance.now();

function work() {
  const first = Number(process.env.BENCH_WARM_UP);
  const last = Number(process.env.BENCH_JOBS) + first;
  let jobs = 0;
  let began = 0;
  new Worker("bench", async ({ data }) => {
    if (data.sent) return say({ waited_ms: now() - data.sent });
    jobs += 1;
    if (jobs === first) began = now();
    else if (jobs === last) say({ jobs: last - first, seconds: (now() - began) / 1000 });
  }, { connection, concurrency: 100 });
}

async function client() {
  const queue = new Queue("bench", { connection, defaultJobOptions: { removeOnComplete: true } });
  const submit = (sent) => queue.add("noop", { sent });
  const lane = async (left) => { while (left.jobs-- > 0) await submit(0); };
  const ways = {
    single: (jobs) => lane({ jobs }),
    concurrent: (jobs) => {
      const left = { jobs };
      return Promise.all(Array.from({ length: IN_FLIGHT }, () => lane(left)));
    },
    batch: (jobs) => queue.addBulk(Array.from({ length: jobs }, () => ({ name: "noop", data: { sent: 0 } }))),
    paced: async (jobs) => {
      for (let job = 0; job < jobs; job++) {
        await submit(now());
        await new Promise((done) => setTimeout(done, Math.random() * 2 * GAP_MS));
      }
    },
  };
  for await (const line of createInterface({ input: process.stdin })) {
    const [way, jobs] = line.split(" ");
    const started = performance.now();
    await ways[way](Number(jobs));
    say({ seconds: (performance.now() - started) / 1000 });
  }
  await queue.close();
}

if (process.argv[2] === "worker") work();
else await client();
