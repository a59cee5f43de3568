// Asks the relay by OpenAI's own package: `node ask_openai.mjs BASE_URL KEY MODEL stream|whole`.
// Prints one JSON object: what the package made of the answer, or the error that it raised.
import OpenAI from "openai";

const [baseURL, apiKey, model, mode] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const request = { model, messages: [{ role: "user", content: "hi" }] };
const seen = { deltas: [], finish_reason: null, usage: null, error: null };

try {
  if (mode === "stream") {
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      const choice = chunk.choices[0];
      if (choice?.delta?.content) seen.deltas.push(choice.delta.content);
      seen.finish_reason = choice?.finish_reason ?? seen.finish_reason;
    }
  } else {
    const whole = await client.chat.completions.create(request);
    seen.deltas.push(whole.choices[0].message.content);
    seen.finish_reason = whole.choices[0].finish_reason;
    seen.usage = whole.usage;
  }
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  seen.error = { status: error.status ?? null, code: error.code ?? null, message: error.message };
}
console.log(JSON.stringify(seen));
