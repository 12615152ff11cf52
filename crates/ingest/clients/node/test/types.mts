// What the types take and refuse: compiled by .ci/node, never run.

import { connect, SendError, type Options, type S3Event, type Send } from "minutelog";

const options: Options = {
  token: "secret",
  timeout: 1000,
  onError: (error) => console.warn(error.code, error.event?.payload),
  tls: { ca: ["PEM", new Uint8Array()] },
};
const $send: Send = connect(new URL("http://127.0.0.1:9600"), options).event("order-1001");
const id: string = await $send.s3({ bucket: "my-bucket", prefix: "test/", payload: { hello: "world" } });
for (const payload of [1, "two", null]) {
  await $send.ready();
  $send.s3({ bucket: "my-bucket", payload, id: `${id}/${payload}` });
}
await $send.flush();

try {
  await $send.s3({ bucket: "my-bucket", payload: 1 });
} catch (error) {
  if (error instanceof SendError) {
    const outcome: "not-accepted" | "unknown" = error.outcome;
    const status: number | undefined = error.status;
    const event: S3Event | undefined = error.event;
    console.warn(error.name, error.advice, outcome, status, event);
  }
}
await connect("http://127.0.0.1:9600").close();

// @ts-expect-error no bucket
$send.s3({ prefix: "test/", payload: 1 });
// @ts-expect-error no payload
$send.s3({ bucket: "my-bucket" });
// @ts-expect-error a field that there is not
$send.s3({ bucket: "my-bucket", payload: 1, prefx: "test/" });
// @ts-expect-error an option that there is not
connect("http://127.0.0.1:9600", { timeOut: 1 });
// @ts-expect-error an id is a string
const wrong: number = await $send.s3({ bucket: "my-bucket", payload: 1 });
// @ts-expect-error only the client makes them
new SendError();
