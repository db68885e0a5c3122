/** An object of 1 KiB: texts, numbers, flags, a list and an object. */
export function record(): Record<string, unknown> {
  return {
    id: 7,
    uuid: '3f2b6c1e-9a47-4d0e-8b53-7c1f0a9d2e64',
    name: 'Ada Lovelace',
    email: 'ada.lovelace@example.org',
    active: true,
    balance: 10_452.75,
    ratio: 0.123456789,
    visits: 70_000,
    score: -12,
    createdAt: 1_700_000_000_000,
    parent: null,
    street: '12 St James Square, Westminster',
    city: 'London',
    bio: 'Wrote the first program for a machine that was never built. '.repeat(4),
    notes: 'Translated a memoir, and added notes three times as long as the memoir. '.repeat(4),
    tags: ['mathematics', 'engines', 'poetry'],
    position: { latitude: 51.5074, longitude: -0.1278 },
    language: 'en-GB',
  }
}
