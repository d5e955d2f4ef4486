// Asks the Go modules that verify a platform's deliveries. What it reads and prints is as in ../npm/judges.mjs; none of
// these modules signs.
package main

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"runtime/debug"
	"strings"

	"code.gitea.io/sdk/gitea"
	"github.com/PagerDuty/go-pagerduty/webhookv3"
	"github.com/buildkite/go-buildkite/v4"
	"github.com/go-playground/webhooks/v6/azuredevops"
	"github.com/mailgun/mailgun-go/v4"
)

type delivery struct {
	Secret  string
	Method  string
	URL     string
	Headers map[string]string
	Body    string
}

type judge struct {
	module  string
	asked   string
	accepts func(delivery) bool
}

type verdicts struct {
	Judge   string `json:"judge"`
	Accepts []bool `json:"accepts"`
}

func (given delivery) request() *http.Request {
	request, err := http.NewRequest(given.Method, given.URL, strings.NewReader(given.Body))
	if err != nil {
		panic(err)
	}
	for name, value := range given.Headers {
		request.Header.Set(name, value)
	}
	return request
}

var judges = map[string]judge{
	"azure-devops": {"github.com/go-playground/webhooks/v6", "azuredevops, with basic authentication", func(given delivery) bool {
		hook, _ := azuredevops.New(azuredevops.Options.BasicAuth("", given.Secret))
		_, err := hook.Parse(given.request(), azuredevops.GitPushEventType)
		return !errors.Is(err, azuredevops.ErrBasicAuthVerificationFailed)
	}},
	"buildkite": {"github.com/buildkite/go-buildkite/v4", "ValidatePayload", func(given delivery) bool {
		_, err := buildkite.ValidatePayload(given.request(), []byte(given.Secret))
		return err == nil
	}},
	"gitea": {"code.gitea.io/sdk/gitea", "VerifyWebhookSignature", func(given delivery) bool {
		signature := given.request().Header.Get("X-Gitea-Signature")
		ok, err := gitea.VerifyWebhookSignature(given.Secret, signature, []byte(given.Body))
		return err == nil && ok
	}},
	"mailgun": {"github.com/mailgun/mailgun-go/v4", "VerifyWebhookSignature", func(given delivery) bool {
		var payload mailgun.WebhookPayload
		if json.Unmarshal([]byte(given.Body), &payload) != nil {
			return false
		}
		client := mailgun.NewMailgun("example.com", "unused")
		client.SetWebhookSigningKey(given.Secret)
		ok, err := client.VerifyWebhookSignature(payload.Signature)
		return err == nil && ok
	}},
	"pagerduty": {"github.com/PagerDuty/go-pagerduty", "webhookv3.VerifySignature", func(given delivery) bool {
		return webhookv3.VerifySignature(given.request(), given.Secret) == nil
	}},
}

func version(module string) string {
	build, _ := debug.ReadBuildInfo()
	for _, dependency := range build.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	panic(module)
}

func main() {
	var question struct {
		Judge map[string][]delivery
	}
	if err := json.NewDecoder(os.Stdin).Decode(&question); err != nil {
		panic(err)
	}
	answer := map[string]*verdicts{}
	for platform, judge := range judges {
		answer[platform] = nil
		if question.Judge == nil {
			continue
		}
		answer[platform] = &verdicts{Judge: judge.module + " " + version(judge.module) + " (Go): " + judge.asked}
		for _, given := range question.Judge[platform] {
			answer[platform].Accepts = append(answer[platform].Accepts, judge.accepts(given))
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(answer); err != nil {
		panic(err)
	}
}
