// A model's answer for a tenant: room under the tenant's cap is reserved before the call, and the answer's tokens take its place.
import { OpenMeter } from '@openmeter/sdk'
import OpenAI from 'openai'

const COLLECTOR = process.env.METERING_COLLECTOR_URL ?? 'http://127.0.0.1:8010'
const TOKEN = process.env.METERING_COLLECTOR_TOKEN ?? '' // metering token --role tracker --service openai
const MOST_OUTPUT = 500

const openai = new OpenAI() // OPENAI_API_KEY, OPENAI_BASE_URL
const openmeter = new OpenMeter({ baseUrl: COLLECTOR, apiKey: TOKEN })

class CapReached extends Error {}

interface Room { allowed: boolean, message: string | null, reservationId: string | null }

async function access(action: 'reserve' | 'release', body: object): Promise<Response> {
  const response = await fetch(`${COLLECTOR}/api/v1/access/${action}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(5_000),
  })
  if (!response.ok) throw new Error(`${action}: ${response.status} ${await response.text()}`)
  return response
}

// A failed delivery is sent again: an event counts once by its source and id.
async function delivered(send: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await send()
      return
    } catch (error) {
      if (tries === 5) throw error
      await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** tries))
    }
  }
}

export async function answer(tenantId: string, prompt: string): Promise<string> {
  const units = Math.ceil(prompt.length / 3) + MOST_OUTPUT // tokens, at most
  const room = (await (await access('reserve', { tenantId, channel: 'ai', units, feature: 'chat' })).json()) as Room
  if (!room.allowed) throw new CapReached(room.message ?? '')
  const completion = await openai.chat.completions
    .create({ model: 'gpt-5-mini', max_completion_tokens: MOST_OUTPUT, messages: [{ role: 'user', content: prompt }] })
    .catch(async (error) => {
      if (room.reservationId) await access('release', { reservationId: room.reservationId })
      throw error
    })
  const { model, usage, created } = completion
  const event = {
    specversion: '1.0', id: completion.id, source: '/examples/typescript', type: 'openai.chat_completion',
    subject: tenantId, time: new Date(created * 1000),
    ...(room.reservationId && { reservation: room.reservationId }),
    data: {
      feature: 'chat', model, external_id: completion.id, input_tokens: usage?.prompt_tokens,
      cached_input_tokens: usage?.prompt_tokens_details?.cached_tokens, output_tokens: usage?.completion_tokens,
    },
  }
  await delivered(() => openmeter.events.ingest(event))
  return completion.choices[0]?.message.content ?? ''
}

const [tenantId = 'acme', ...prompts] = process.argv.slice(2)
try {
  for (const prompt of prompts) console.log(await answer(tenantId, prompt))
} catch (error) {
  if (!(error instanceof CapReached)) throw error
  console.error(error.message)
  process.exitCode = 3
}
