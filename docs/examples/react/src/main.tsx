// A tenant's month, from another origin than the API's: METERING_CORS_ORIGINS there names this one.
import createClient from 'openapi-fetch'
import { StrictMode, useEffect, useState } from 'react'
import { createRoot } from 'react-dom/client'
import type { components, paths } from './usage-api'

type Schemas = components['schemas']
type Month = { summary: Schemas['UsageSummary']; weeks: Schemas['DailySeries'] }

const api = createClient<paths>({ baseUrl: import.meta.env.VITE_METERING_URL })
const number = new Intl.NumberFormat()
const timeZone = Intl.DateTimeFormat().resolvedOptions().timeZone

// Unpriced is not free: such a cost is unknown, and the exact one is a decimal string.
const dollars = (cost: string | null) => (cost === null ? 'not priced' : `$${Number(cost).toFixed(2)}`)

async function readMonth(token: string, period: string, signal: AbortSignal): Promise<Month> {
  const headers = { authorization: `Bearer ${token}` }
  const summary = await api.GET('/api/billing/usage/summary', { params: { query: { period } }, headers, signal })
  if (!summary.data) throw new Error(summary.error.detail ?? summary.error.title)
  const { start, end } = summary.data.currentPeriod
  const query = { from: start, to: period === 'current' ? undefined : end, granularity: 'week', groupBy: 'feature', timeZone } as const
  const weeks = await api.GET('/api/billing/usage/daily', { params: { query }, headers, signal })
  if (!weeks.data) throw new Error(weeks.error.detail ?? weeks.error.title)
  return { summary: summary.data, weeks: weeks.data }
}

function Channel({ channel }: { channel: Schemas['ChannelUsage'] }) {
  const { used, cap, status } = channel
  return (
    <tr>
      <th scope="row">{channel.channel}</th>
      <td>{number.format(channel.unitCount)} {channel.unit}</td>
      <td>{cap === null ? 'no cap' : <meter max={cap} value={Math.min(used, cap)}>{channel.percentUsed} %</meter>} {status}</td>
      <td>{dollars(channel.estimatedCostUsd)}</td>
    </tr>
  )
}

function Weeks({ weeks }: { weeks: Schemas['DailySeries'] }) {
  return (
    <table>
      <caption>By week and feature. Days are UTC: the first begins at {new Date(weeks.startsAt).toLocaleString()}</caption>
      <tbody>
        {weeks.rows.filter((row) => row.requestCount > 0).map((row) => (
          <tr key={`${row.date} ${row.channel} ${row.group.feature}`}>
            <th scope="row">{row.date}</th>
            <td>{row.channel}, {row.group.feature}</td>
            <td>{number.format(row.unitCount)} {row.unit}</td>
            <td>{dollars(row.estimatedCostUsd)}{row.isFinal ? '' : ' so far'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

function Page({ token }: { token: string }) {
  const [period, setPeriod] = useState('current')
  const [shown, show] = useState<Month | Error>()
  useEffect(() => {
    const left = new AbortController()
    readMonth(token, period, left.signal).then(show, (error: Error) => left.signal.aborted || show(error))
    return () => left.abort()
  }, [token, period])
  if (!shown) return <p>Loading…</p>
  if (shown instanceof Error) return <p role="alert">{shown.message}</p>
  const { summary, weeks } = shown
  return (
    <>
      <h1>{summary.tenantName}, {summary.currentPeriod.label}: {dollars(summary.totalsForPeriod.estimatedCostUsd)}</h1>
      <input type="month" aria-label="Month" onChange={(event) => setPeriod(event.target.value || 'current')} />
      <table><tbody>{summary.channels.map((channel) => <Channel key={channel.channel} channel={channel} />)}</tbody></table>
      <Weeks weeks={weeks} />
    </>
  )
}

// Your server signs its users in and gives them a token for their tenant; here it stands in the address, behind #.
createRoot(document.getElementById('page')!).render(<StrictMode><Page token={location.hash.slice(1)} /></StrictMode>)
