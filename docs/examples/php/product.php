<?php
// A text message for a tenant, by plain HTTP: room under the tenant's cap is reserved before the call, and the message takes its place.
declare(strict_types=1);

define('COLLECTOR', getenv('METERING_COLLECTOR_URL') ?: 'http://127.0.0.1:8010');
define('TOKEN', getenv('METERING_COLLECTOR_TOKEN') ?: ''); // metering token --role tracker --service twilio_sms
define('TWILIO', getenv('TWILIO_BASE_URL') ?: 'https://api.twilio.com');
const SEGMENT = 67; // characters at least; fewer in a message of one segment are rounded up

class CapReached extends Exception {}

/** @return array{int, mixed} the status (0: no answer) and the JSON that came back */
function post(string $url, array $headers, string $body): array
{
    $options = ['method' => 'POST', 'header' => $headers, 'content' => $body, 'timeout' => 10, 'ignore_errors' => true];
    $answer = @file_get_contents($url, false, stream_context_create(['http' => $options]));
    return $answer === false ? [0, null] : [(int) explode(' ', $http_response_header[0])[1], json_decode($answer, true)];
}

/** A request without an answer is sent again: an event counts once by its source and id. */
function collector(string $path, array $body, string $type = 'application/json'): mixed
{
    for ($try = 1; ; $try++) {
        [$status, $answer] = post(COLLECTOR . $path, ['Authorization: Bearer ' . TOKEN, "Content-Type: $type"], json_encode($body));
        if ($status >= 200 && $status < 300) {
            return $answer;
        }
        if ($try === 5 || !in_array($status, [0, 429, 500, 502, 503, 504], true)) {
            throw new RuntimeException("$path: $status " . json_encode($answer));
        }
        usleep(200_000 * 2 ** $try);
    }
}

function send(string $tenant, string $from, string $to, string $text): string
{
    $units = max(1, (int) ceil(iconv_strlen($text, 'UTF-8') / SEGMENT));
    $room = collector('/api/v1/access/reserve', ['tenantId' => $tenant, 'channel' => 'sms', 'units' => $units, 'feature' => 'reminders']);
    if (!$room['allowed']) {
        throw new CapReached($room['message']);
    }
    $account = getenv('TWILIO_ACCOUNT_SID');
    $login = 'Authorization: Basic ' . base64_encode("$account:" . getenv('TWILIO_AUTH_TOKEN'));
    $form = http_build_query(['From' => $from, 'To' => $to, 'Body' => $text]);
    [$status, $message] = post(TWILIO . "/2010-04-01/Accounts/$account/Messages.json", [$login, 'Content-Type: application/x-www-form-urlencoded'], $form);
    if ($status !== 201) {
        // Without an answer it may have been sent: the room is held until it expires.
        if ($status !== 0 && $room['reservationId']) {
            collector('/api/v1/access/release', ['reservationId' => $room['reservationId']]);
        }
        throw new RuntimeException("Twilio: $status " . ($message['message'] ?? 'no answer'));
    }
    $event = [
        'specversion' => '1.0', 'id' => $message['sid'], 'source' => '/examples/php', 'type' => 'twilio_sms.outbound',
        'subject' => $tenant, 'time' => gmdate('Y-m-d\TH:i:s\Z'),
        'data' => ['units' => (int) $message['num_segments'], 'feature' => 'reminders', 'external_id' => $message['sid']],
    ];
    if ($room['reservationId']) {
        $event['reservation'] = $room['reservationId'];
    }
    collector('/api/v1/events', $event, 'application/cloudevents+json');
    return $message['sid'];
}

[, $tenant, $from, $to] = $argv;
try {
    foreach (array_slice($argv, 4) as $text) {
        echo send($tenant, $from, $to, $text), "\n";
    }
} catch (CapReached $reached) {
    fwrite(STDERR, $reached->getMessage() . "\n");
    exit(3);
}
