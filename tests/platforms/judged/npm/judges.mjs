// Asks the libraries on npm that verify a platform's deliveries, and has them sign where they can.
//
// Standard input and output are JSON; a delivery is as in ../__init__.py.
// {}                                         → {platform: null}, for each judge
// {"sign": {platform: delivery}}             → {platform: signed delivery, or null if the library only verifies}
// {"judge": {platform: [delivery, …]}}       → {platform: {"judge": its name, version and what of it is asked,
//     "looser": why it accepts what the bridge refuses, if it does, "accepts": [true or false, …]}}

import { createHash, generateKeyPairSync, sign as signBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(import.meta.url);
const RealDate = Date;
console.log = console.debug = console.info = () => {}; // some libraries print there what they do

/** The libraries take the delivery's time for now. */
function stopClock(seconds) {
  globalThis.Date = class extends RealDate {
    constructor(...given) {
      given.length ? super(...given) : super(seconds * 1000);
    }
    static now() {
      return seconds * 1000;
    }
  };
}

const lower = (delivery) =>
  Object.fromEntries(Object.entries(delivery.headers).map(([name, value]) => [name.toLowerCase(), value]));
const withHeaders = (delivery, headers) => ({ ...delivery, headers: { ...delivery.headers, ...headers } });
const seconds = (delivery) => String(Math.floor(delivery.now));
const path = (delivery) => delivery.url.slice(new URL(delivery.url).origin.length);
const request = (delivery) =>
  new Request(delivery.url, { method: delivery.method, headers: delivery.headers, body: delivery.body });

// Keys of ours stand for the private keys of Discord, SendGrid and Telnyx; their libraries only verify.
const ed25519 = generateKeyPairSync("ed25519");
const ecdsa = generateKeyPairSync("ec", { namedCurve: "P-256" });
const spki = (pair) => pair.publicKey.export({ format: "der", type: "spki" });

/** A trigger of n8n, called as n8n calls it. */
function n8n(delivery, method, staticData, credentials = {}) {
  const headers = lower(delivery);
  const refusal = { status: () => refusal, send: () => refusal, end: () => refusal };
  const answer = method.call({
    getRequestObject: () => ({
      rawBody: Buffer.from(delivery.body),
      body: JSON.parse(delivery.body),
      header: (wanted) => headers[wanted.toLowerCase()],
    }),
    getResponseObject: () => refusal,
    getHeaderData: () => headers,
    getBodyData: () => JSON.parse(delivery.body),
    getWorkflowStaticData: () => staticData,
    getNodeParameter: (_name, otherwise) => otherwise,
    getNodeWebhookUrl: () => delivery.url,
    getCredentials: async () => credentials,
    helpers: { returnJsonArray: (items) => items },
  });
  return Promise.resolve(answer).then((given) => given === true || given?.workflowData !== undefined);
}
const helper = (name) => require(`./n8n/package/dist/nodes/${name}/${name}TriggerHelpers.js`).verifySignature;
const trigger = (name) => {
  const file = `./n8n/package/dist/nodes/${name}/${name}Trigger.node.js`;
  return require(file)[`${name}Trigger`].prototype.webhook;
};

const standard = {
  from: "standardwebhooks",
  asked: "Webhook.verify",
  verify: (delivery) => {
    const { Webhook } = require("standardwebhooks");
    return new Webhook(delivery.secret.replace(/^v1,/, "")).verify(delivery.body, lower(delivery));
  },
  sign: (delivery) => {
    const { Webhook } = require("standardwebhooks");
    const webhook = new Webhook(delivery.secret.replace(/^v1,/, ""));
    const signature = webhook.sign("msg_1", new RealDate(delivery.now * 1000), delivery.body);
    return withHeaders(delivery, {
      "webhook-id": "msg_1", "webhook-timestamp": seconds(delivery), "webhook-signature": signature,
    });
  },
};
const hub = (algorithm, header) => ({
  from: "x-hub-signature",
  asked: "XHubSignature.verify",
  verify: (delivery) => {
    const Signature = require("x-hub-signature");
    return new Signature(algorithm, delivery.secret).verify(lower(delivery)[header.toLowerCase()], delivery.body);
  },
  sign: (delivery) => {
    const Signature = require("x-hub-signature");
    return withHeaders(delivery, { [header]: new Signature(algorithm, delivery.secret).sign(delivery.body) });
  },
});
const REWRITES = "it signs the body parsed and written again";

const JUDGES = {
  adyen: {
    from: "@adyen/api-library",
    asked: "hmacValidator.validateHMAC",
    verify: (delivery) => {
      const { default: Validator } = require("@adyen/api-library/lib/src/utils/hmacValidator.js");
      const [item] = JSON.parse(delivery.body).notificationItems;
      return new Validator().validateHMAC(item.NotificationRequestItem, delivery.secret);
    },
    sign: (delivery) => {
      const { default: Validator } = require("@adyen/api-library/lib/src/utils/hmacValidator.js");
      const body = JSON.parse(delivery.body);
      const item = body.notificationItems[0].NotificationRequestItem;
      const hmacSignature = new Validator().calculateHmac(item, delivery.secret);
      item.additionalData = { ...item.additionalData, hmacSignature };
      return { ...delivery, body: JSON.stringify(body) };
    },
    looser: "it signs some of the fields",
  },
  box: {
    from: "box-node-sdk",
    asked: "WebhooksManager.validateMessage",
    verify: (delivery) => {
      const { WebhooksManager } = require("box-node-sdk/managers/webhooks");
      const headers = { "box-signature-version": "1", "box-signature-algorithm": "HmacSHA256", ...lower(delivery) };
      return WebhooksManager.validateMessage(delivery.body, headers, delivery.secret);
    },
  },
  calendly: {
    from: "n8n-nodes-base",
    asked: "CalendlyTrigger",
    verify: (delivery) => n8n(delivery, helper("Calendly"), { webhookSecret: delivery.secret }),
  },
  "cal-com": {
    from: "n8n-nodes-base",
    asked: "CalTrigger",
    verify: (delivery) => n8n(delivery, helper("Cal"), { webhookSecret: delivery.secret }),
  },
  chargebee: {
    from: "chargebee",
    asked: "basicAuthValidator",
    verify: (delivery) => {
      const { basicAuthValidator } = require("chargebee");
      const check = basicAuthValidator((user, password) => user === "" && password === delivery.secret);
      return Promise.resolve(check(lower(delivery))).then(() => true);
    },
    looser: "the body isn't signed",
  },
  clerk: {
    from: "@clerk/backend",
    asked: "verifyWebhook",
    verify: async (delivery) => {
      const { verifyWebhook } = await import("@clerk/backend/webhooks");
      return verifyWebhook(request(delivery), { signingSecret: delivery.secret });
    },
  },
  clickup: {
    from: "n8n-nodes-base",
    asked: "ClickUpTrigger",
    verify: (delivery) => n8n(delivery, trigger("ClickUp"), { secret: delivery.secret }),
    looser: REWRITES,
  },
  contentful: {
    from: "@contentful/node-apps-toolkit",
    asked: "verifyRequest",
    verify: (delivery) => {
      const { verifyRequest } = require("@contentful/node-apps-toolkit");
      const { method, headers, body } = delivery;
      return verifyRequest(delivery.secret, { method, path: path(delivery), headers, body });
    },
    looser: "it puts the list of signed headers together again instead of reading it",
  },
  "customer-io": {
    from: "n8n-nodes-base",
    asked: "CustomerIoTrigger",
    verify: (delivery) => n8n(delivery, helper("CustomerIo"), {}, { webhookSigningKey: delivery.secret }),
  },
  discord: {
    from: "discord-interactions",
    asked: "verifyKey",
    verify: (delivery) => {
      const { verifyKey } = require("discord-interactions");
      const headers = lower(delivery);
      return verifyKey(
        delivery.body, headers["x-signature-ed25519"], headers["x-signature-timestamp"], delivery.secret,
      );
    },
    sign: (delivery) => {
      const signature = signBytes(null, Buffer.from(seconds(delivery) + delivery.body), ed25519.privateKey).toString("hex");
      const headers = { "X-Signature-Ed25519": signature, "X-Signature-Timestamp": seconds(delivery) };
      return withHeaders({ ...delivery, secret: spki(ed25519).subarray(-32).toString("hex") }, headers);
    },
  },
  elevenlabs: {
    from: "@elevenlabs/elevenlabs-js",
    asked: "webhooks.constructEvent",
    verify: (delivery) => {
      const { ElevenLabsClient } = require("@elevenlabs/elevenlabs-js");
      const { webhooks } = new ElevenLabsClient({ apiKey: "unused" });
      return webhooks.constructEvent(delivery.body, lower(delivery)["elevenlabs-signature"], delivery.secret);
    },
  },
  facebook: hub("sha256", "X-Hub-Signature-256"),
  github: {
    from: "@octokit/webhooks",
    asked: "Webhooks.sign and verify",
    verify: async (delivery) => {
      const { Webhooks } = await import("@octokit/webhooks");
      return new Webhooks({ secret: delivery.secret }).verify(delivery.body, lower(delivery)["x-hub-signature-256"]);
    },
    sign: async (delivery) => {
      const { Webhooks } = await import("@octokit/webhooks");
      const signature = await new Webhooks({ secret: delivery.secret }).sign(delivery.body);
      return withHeaders(delivery, { "X-Hub-Signature-256": signature });
    },
  },
  gitlab: standard,
  gocardless: {
    from: "gocardless-nodejs",
    asked: "webhooks.parse",
    verify: (delivery) => {
      const { parse } = require("gocardless-nodejs/webhooks");
      return parse(delivery.body, delivery.secret, lower(delivery)["webhook-signature"]);
    },
  },
  "http-message-signatures": {
    from: "http-message-signatures",
    asked: "httpbis.signMessage and verifyMessage",
    verify: async (delivery) => {
      const { createVerifier, httpbis } = require("http-message-signatures");
      const keyLookup = async () => ({ verify: createVerifier(delivery.secret, "hmac-sha256") });
      const requiredFields = ["@method", "@target-uri", "content-digest"];
      return (await httpbis.verifyMessage({ keyLookup, requiredFields }, delivery)) === true;
    },
    sign: (delivery) => {
      const { createSigner, httpbis } = require("http-message-signatures");
      const digest = createHash("sha256").update(delivery.body).digest("base64");
      const message = withHeaders(delivery, { "Content-Digest": `sha-256=:${digest}:` });
      const key = createSigner(delivery.secret, "hmac-sha256", "partner");
      const paramValues = { created: new RealDate(delivery.now * 1000) };
      const fields = ["@method", "@target-uri", "content-digest"];
      return httpbis.signMessage({ key, fields, params: ["created", "keyid", "alg"], paramValues }, message);
    },
    looser: "it leaves the body's digest to its caller",
  },
  hubspot: {
    from: "@hubspot/api-client",
    asked: "Signature.isValid, version 3",
    verify: (delivery) => {
      const { Signature } = require("@hubspot/api-client");
      const headers = lower(delivery);
      return Signature.isValid({
        signatureVersion: "v3",
        signature: headers["x-hubspot-signature-v3"],
        timestamp: headers["x-hubspot-request-timestamp"],
        clientSecret: delivery.secret, method: delivery.method, url: delivery.url, requestBody: delivery.body,
      });
    },
    sign: (delivery) => {
      const { Signature } = require("@hubspot/api-client");
      const timestamp = delivery.now * 1000;
      const signature = Signature.getSignature(delivery.method, "v3", {
        clientSecret: delivery.secret, url: delivery.url, requestBody: delivery.body, timestamp,
      });
      return withHeaders(delivery, {
        "X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": String(timestamp),
      });
    },
  },
  intercom: hub("sha1", "X-Hub-Signature"),
  line: {
    from: "@line/bot-sdk",
    asked: "validateSignature",
    verify: (delivery) => {
      const { validateSignature } = require("@line/bot-sdk");
      return validateSignature(delivery.body, delivery.secret, lower(delivery)["x-line-signature"]);
    },
  },
  linear: {
    from: "@linear/sdk",
    asked: "LinearWebhookClient.verify",
    verify: async (delivery) => {
      const { LinearWebhookClient } = await import("@linear/sdk/webhooks");
      const { webhookTimestamp } = JSON.parse(delivery.body);
      const signature = lower(delivery)["linear-signature"];
      return new LinearWebhookClient(delivery.secret).verify(Buffer.from(delivery.body), signature, webhookTimestamp);
    },
  },
  "mcp-events": standard,
  monday: {
    from: "jsonwebtoken",
    asked: "verify, as monday.com's sample calls it, and with the audience of its documentation",
    verify: (delivery) => {
      const { authorization } = lower(delivery);
      return require("jsonwebtoken").verify(authorization, delivery.secret, { audience: delivery.url });
    },
    sign: ({ url, secret, now, ...delivery }) => {
      const authorization = require("jsonwebtoken").sign({ aud: url, iat: now, exp: now + 300 }, secret);
      return withHeaders({ ...delivery, url, secret, now }, { Authorization: authorization });
    },
  },
  notion: {
    from: "@notionhq/client",
    asked: "verifyWebhookSignature",
    verify: (delivery) => {
      const { verifyWebhookSignature } = require("@notionhq/client");
      const signature = lower(delivery)["x-notion-signature"];
      return verifyWebhookSignature({ body: delivery.body, signature, verificationToken: delivery.secret });
    },
  },
  openai: {
    from: "openai",
    asked: "webhooks.verifySignature",
    verify: async (delivery) => {
      const { OpenAI } = require("openai");
      const { webhooks } = new OpenAI({ apiKey: "unused", webhookSecret: delivery.secret });
      await webhooks.verifySignature(delivery.body, lower(delivery));
      return true;
    },
  },
  paddle: {
    from: "@paddle/paddle-node-sdk",
    asked: "webhooks.isSignatureValid",
    verify: (delivery) => {
      const { Paddle } = require("@paddle/paddle-node-sdk");
      const signature = lower(delivery)["paddle-signature"];
      return new Paddle("unused").webhooks.isSignatureValid(delivery.body, delivery.secret, signature);
    },
  },
  razorpay: {
    from: "razorpay",
    asked: "validateWebhookSignature",
    verify: (delivery) => {
      const Razorpay = require("razorpay");
      const signature = lower(delivery)["x-razorpay-signature"];
      return Razorpay.validateWebhookSignature(delivery.body, signature, delivery.secret);
    },
  },
  replicate: {
    from: "replicate",
    asked: "validateWebhook",
    verify: (delivery) => {
      const { validateWebhook } = require("replicate");
      return validateWebhook({ headers: lower(delivery), body: delivery.body }, delivery.secret);
    },
  },
  resend: {
    from: "resend",
    asked: "webhooks.verify",
    verify: (delivery) => {
      const { Resend } = require("resend");
      const headers = lower(delivery);
      return new Resend("unused").webhooks.verify({
        payload: delivery.body,
        headers: {
          id: headers["svix-id"], timestamp: headers["svix-timestamp"], signature: headers["svix-signature"],
        },
        webhookSecret: delivery.secret,
      });
    },
  },
  sendgrid: {
    from: "@sendgrid/eventwebhook",
    asked: "EventWebhook.verifySignature",
    verify: (delivery) => {
      const { EventWebhook } = require("@sendgrid/eventwebhook");
      const judge = new EventWebhook();
      const headers = lower(delivery);
      return judge.verifySignature(
        judge.convertPublicKeyToECDSA(delivery.secret),
        delivery.body,
        headers["x-twilio-email-event-webhook-signature"],
        headers["x-twilio-email-event-webhook-timestamp"],
      );
    },
    sign: (delivery) => {
      const signature = signBytes("sha256", Buffer.from(seconds(delivery) + delivery.body), ecdsa.privateKey).toString("base64");
      return withHeaders({ ...delivery, secret: spki(ecdsa).toString("base64") }, {
        "X-Twilio-Email-Event-Webhook-Signature": signature,
        "X-Twilio-Email-Event-Webhook-Timestamp": seconds(delivery),
      });
    },
  },
  shopify: {
    from: "@shopify/shopify-api",
    asked: "webhooks.validate",
    verify: async (delivery) => {
      require("@shopify/shopify-api/adapters/node");
      const { LogSeverity, shopifyApi } = require("@shopify/shopify-api");
      const { webhooks } = shopifyApi({
        apiKey: "unused", apiSecretKey: delivery.secret, hostName: "relay.example.com", apiVersion: "2026-01",
        isEmbeddedApp: false, logger: { level: LogSeverity.Error },
      });
      const headers = {
        "X-Shopify-API-Version": "2026-01", "X-Shopify-Shop-Domain": "acme.myshopify.com",
        "X-Shopify-Webhook-Id": "1", "X-Shopify-Topic": "orders/paid", ...delivery.headers,
      };
      const rawRequest = { method: delivery.method, url: path(delivery), headers };
      return (await webhooks.validate({ rawBody: delivery.body, rawRequest })).valid;
    },
  },
  slack: {
    from: "@slack/bolt",
    asked: "verifySlackRequest",
    verify: (delivery) => {
      const { isValidSlackRequest } = require("@slack/bolt/dist/receivers/verify-request.js");
      return isValidSlackRequest({ signingSecret: delivery.secret, body: delivery.body, headers: lower(delivery) });
    },
  },
  square: {
    from: "square",
    asked: "WebhooksHelper.verifySignature",
    verify: (delivery) => {
      const { WebhooksHelper } = require("square");
      return WebhooksHelper.verifySignature({
        requestBody: delivery.body,
        signatureHeader: lower(delivery)["x-square-hmacsha256-signature"],
        signatureKey: delivery.secret,
        notificationUrl: delivery.url,
      });
    },
  },
  "standard-webhooks": {
    from: "svix",
    asked: "Webhook.sign and verify",
    verify: (delivery) => {
      const { Webhook } = require("svix");
      return new Webhook(delivery.secret).verify(delivery.body, lower(delivery));
    },
    sign: (delivery) => {
      const { Webhook } = require("svix");
      const signature = new Webhook(delivery.secret).sign("msg_1", new RealDate(delivery.now * 1000), delivery.body);
      return withHeaders(delivery, {
        "svix-id": "msg_1", "svix-timestamp": seconds(delivery), "svix-signature": signature,
      });
    },
  },
  stripe: {
    from: "stripe",
    asked: "webhooks.generateTestHeaderString and constructEvent",
    verify: (delivery) => {
      const { webhooks } = new (require("stripe"))("unused");
      return webhooks.constructEvent(delivery.body, lower(delivery)["stripe-signature"], delivery.secret);
    },
    sign: (delivery) => {
      const { webhooks } = new (require("stripe"))("unused");
      const { body: payload, secret, now: timestamp } = delivery;
      return withHeaders(delivery, {
        "Stripe-Signature": webhooks.generateTestHeaderString({ payload, secret, timestamp }),
      });
    },
  },
  supabase: standard,
  telegram: {
    from: "grammy",
    asked: "webhookCallback; not Telegram's own",
    verify: async (delivery) => {
      const { Bot, webhookCallback } = require("grammy");
      const bot = new Bot("1:unused", { botInfo: { id: 1, is_bot: true, first_name: "a", username: "a_bot" } });
      const answer = await webhookCallback(bot, "std/http", { secretToken: delivery.secret })(request(delivery));
      return answer.status === 200;
    },
    looser: "the body isn't signed",
  },
  telnyx: {
    from: "telnyx",
    asked: "TelnyxWebhook.verify",
    verify: async (delivery) => {
      const { TelnyxWebhook } = require("telnyx/lib/webhooks");
      await new TelnyxWebhook(delivery.secret).verify(delivery.body, lower(delivery));
      return true;
    },
    sign: (delivery) => {
      const message = Buffer.from(`${seconds(delivery)}|${delivery.body}`);
      const signature = signBytes(null, message, ed25519.privateKey).toString("base64");
      return withHeaders({ ...delivery, secret: spki(ed25519).subarray(-32).toString("base64") }, {
        "telnyx-signature-ed25519": signature, "telnyx-timestamp": seconds(delivery),
      });
    },
  },
  trello: {
    from: "n8n-nodes-base",
    asked: "TrelloTrigger",
    verify: (delivery) => n8n(delivery, helper("Trello"), {}, { oauthSecret: delivery.secret }),
  },
  twilio: {
    from: "twilio",
    asked: "getExpectedTwilioSignature and validateRequest",
    verify: (delivery) => {
      const { validateRequest } = require("twilio");
      const fields = Object.fromEntries(new URLSearchParams(delivery.body));
      return validateRequest(delivery.secret, lower(delivery)["x-twilio-signature"], delivery.url, fields);
    },
    sign: (delivery) => {
      const { getExpectedTwilioSignature } = require("twilio/lib/webhooks/webhooks");
      const fields = Object.fromEntries(new URLSearchParams(delivery.body));
      return withHeaders(delivery, {
        "X-Twilio-Signature": getExpectedTwilioSignature(delivery.secret, delivery.url, fields),
      });
    },
  },
  twitch: {
    from: "@twurple/eventsub-http",
    asked: "its check of signatures; not Twitch's own",
    verify: async (delivery) => {
      const { EventSubHttpListener } = await import("@twurple/eventsub-http");
      const headers = lower(delivery);
      const [id, time, signature] = ["id", "timestamp", "signature"].map((n) => headers[`twitch-eventsub-message-${n}`]);
      const judge = Object.create(EventSubHttpListener.prototype, { _secret: { value: delivery.secret } });
      return judge._verifyData(id, time, delivery.body, signature);
    },
  },
  typeform: {
    from: "n8n-nodes-base",
    asked: "TypeformTrigger",
    verify: (delivery) => n8n(delivery, helper("Typeform"), { webhookSecret: delivery.secret }),
  },
  webflow: {
    from: "webflow-api",
    asked: "webhooks.verifySignature",
    verify: (delivery) => {
      const { WebflowClient } = require("webflow-api");
      const { webhooks } = new WebflowClient({ accessToken: "unused" });
      return webhooks.verifySignature({
        headers: lower(delivery), body: delivery.body, secret: delivery.secret,
      });
    },
  },
  woocommerce: {
    from: "n8n-nodes-base",
    asked: "WooCommerceTrigger",
    verify: (delivery) => {
      const sent = withHeaders(delivery, { "X-WC-Webhook-ID": "1" });
      return n8n(sent, trigger("WooCommerce"), { secret: delivery.secret });
    },
  },
  workos: {
    from: "@workos-inc/node",
    asked: "webhooks.verifyHeader",
    verify: (delivery) => {
      const { WorkOS } = require("@workos-inc/node");
      const { webhooks } = new WorkOS("sk_unused");
      return webhooks.verifyHeader({
        payload: JSON.parse(delivery.body), sigHeader: lower(delivery)["workos-signature"], secret: delivery.secret,
      });
    },
    looser: REWRITES,
  },
  zendesk: {
    from: "n8n-nodes-base",
    asked: "ZendeskTrigger",
    verify: (delivery) => n8n(delivery, helper("Zendesk"), { webhookSecret: delivery.secret }),
  },
  zoom: {
    from: "@zoom/rivet",
    asked: "AwsLambdaReceiver",
    verify: async (delivery) => {
      const { AwsLambdaReceiver } = require("@zoom/rivet/marketplace");
      const receiver = new AwsLambdaReceiver({ webhooksSecretToken: delivery.secret });
      receiver.init({ eventEmitter: { emit: async () => {} } });
      const answer = await receiver.start()({ body: delivery.body, headers: delivery.headers }, {});
      return answer.statusCode === 200;
    },
    looser: REWRITES,
  },
};

function version(name) {
  const file = name === "n8n-nodes-base" ? "./n8n/package/package.json" : `./node_modules/${name}/package.json`;
  return JSON.parse(readFileSync(new URL(file, import.meta.url))).version;
}

/** Libraries refuse in many ways. */
async function accepts(from, library, delivery) {
  try {
    stopClock(delivery.now);
    return (await library.verify(delivery)) !== false;
  } catch (error) {
    if (process.env.DEBUG) console.error(from, error);
    return false;
  } finally {
    globalThis.Date = RealDate;
  }
}

const { sign, judge } = JSON.parse(readFileSync(0));
const answer = {};
for (const [platform, { from, asked, looser, ...library }] of Object.entries(JUDGES)) {
  if (judge) {
    const accepted = [];
    for (const delivery of judge[platform]) accepted.push(await accepts(from, library, delivery));
    answer[platform] = { judge: `${from} ${version(from)} (npm): ${asked}`, looser, accepts: accepted };
  } else {
    answer[platform] = sign && library.sign ? await library.sign(sign[platform]) : null;
  }
}
process.stdout.write(JSON.stringify(answer), () => process.exit(0));
