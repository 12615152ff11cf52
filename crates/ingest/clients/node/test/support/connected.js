import { connect } from "../../src/index.js";
import { Service } from "./service.js";

/** A service, and a client of it; both end with the test. */
export async function connected(test, options) {
  const service = await Service.start();
  const $send = connect(service.url, options);
  test.after(async () => {
    await service.stop();
    await $send.close();
  });
  return { service, $send };
}

/** The error that a promise fails with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

export function to(payload, more = {}) {
  return { bucket: "my-bucket", prefix: "test/", payload, ...more };
}
