// Obeys the test: each answer asks for the next commands. A message is the length of a JSON header in bytes,
// the header, zeros up to a multiple of four, and words.

const encoder = new TextEncoder();

let device;
// What the device said outside of a command.
let fault = null;
const modules = new Map();
const buffers = new Map();

async function open() {
  if (!navigator.gpu) throw new Error("the browser has no WebGPU");
  const adapter = await navigator.gpu.requestAdapter();
  if (!adapter) throw new Error("the browser has no WebGPU adapter");
  // Without features and with the least limits, as on every device.
  device = await adapter.requestDevice();
  device.onuncapturederror = (event) => (fault ??= event.error.message);
  device.lost.then((info) => (fault ??= `the device is lost: ${info.message}`));
  const { vendor, architecture, device: name, description } = adapter.info;
  const words = [vendor, architecture, name, description].filter((word) => word);
  return `${words.join(" ")} in ${navigator.userAgent.match(/\S*Chrom\S*/)?.[0] ?? "a browser"}`;
}

// A pipeline of the text, which the browser's own compiler has to accept.
async function makeModule({ name, source, entryPoint, writable }) {
  const module = device.createShaderModule({ label: name, code: source });
  const messages = (await module.getCompilationInfo()).messages;
  const errors = messages.filter((message) => message.type === "error");
  if (errors.length > 0) {
    const text = errors.map((e) => `line ${e.lineNum}: ${e.message}`).join("\n");
    throw new Error(`${name}: ${text}`);
  }
  const entries = [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: "uniform" } }];
  writable.forEach((written, i) => {
    const type = written ? "storage" : "read-only-storage";
    entries.push({ binding: i + 1, visibility: GPUShaderStage.COMPUTE, buffer: { type } });
  });
  const layout = device.createBindGroupLayout({ label: name, entries });
  const pipeline = await device.createComputePipelineAsync({
    label: name,
    layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
    compute: { module, entryPoint },
  });
  modules.set(name, { layout, pipeline });
}

function makeBuffer({ key, bytes }) {
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  buffers.set(key, device.createBuffer({ label: key, size: bytes, usage }));
}

function run({ steps }) {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const { name, params, views, workgroups } of steps) {
    const { layout, pipeline } = modules.get(name);
    const data = new Uint32Array(params);
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const uniform = device.createBuffer({ label: `${name} params`, size: data.byteLength, usage });
    device.queue.writeBuffer(uniform, 0, data);
    const entries = [{ binding: 0, resource: { buffer: uniform } }];
    views.forEach(({ key, offset, size }, i) => {
      entries.push({ binding: i + 1, resource: { buffer: buffers.get(key), offset, size } });
    });
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, device.createBindGroup({ label: name, layout, entries }));
    pass.dispatchWorkgroups(...workgroups);
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
}

async function read({ key, bytes }) {
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const staging = device.createBuffer({ label: "staging", size: bytes, usage });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffers.get(key), 0, staging, 0, bytes);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const words = new Uint8Array(staging.getMappedRange()).slice();
  staging.destroy();
  return words;
}

// Does what a message asks for, and returns the words of its read, if there is one.
async function obey(message) {
  const length = new Uint32Array(message, 0, 1)[0];
  const commands = JSON.parse(new TextDecoder().decode(new Uint8Array(message, 4, length)));
  let at = 4 + Math.ceil(length / 4) * 4;
  let answer = new Uint8Array();
  for (const command of commands) {
    if (command.op === "module") await makeModule(command);
    else if (command.op === "buffer") makeBuffer(command);
    else if (command.op === "write") {
      device.queue.writeBuffer(buffers.get(command.key), 0, message, at, command.bytes);
      at += command.bytes;
    } else if (command.op === "run") run(command);
    else if (command.op === "read") answer = await read(command);
    else if (command.op === "free") {
      buffers.get(command.key).destroy();
      buffers.delete(command.key);
    } else throw new Error(`no such command: ${command.op}`);
  }
  await device.queue.onSubmittedWorkDone();
  if (fault) throw new Error(fault);
  return answer;
}

try {
  let body = encoder.encode(await open());
  for (;;) {
    const response = await fetch("next", { method: "POST", body });
    if (!response.ok) break;
    body = await obey(await response.arrayBuffer());
  }
} catch (error) {
  await fetch("failed", { method: "POST", body: encoder.encode(String(error?.message ?? error)) });
}
