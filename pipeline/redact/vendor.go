package redact

import "bytes"

// A vendorToken is a credential that its vendor made recognisable: a fixed prefix and a body of a known alphabet and
// length. Lengths are lenient where vendors say that they may grow.
type vendorToken struct {
	detector Detector
	prefix   string
	body     alphabet
	min, max int               // length of the body
	check    func([]byte) bool // what the body must look like besides; nil for nothing
}

// An alphabet is the set of bytes in a token's body.
type alphabet uint8

const (
	alnum    alphabet = iota // A-Z a-z 0-9
	capitals                 // A-Z 0-9
	hexes                    // 0-9 a-f A-F
	words                    // alnum and _ -
	dotted                   // words and . =
	base64s                  // words and + / =
)

func (a alphabet) has(c byte) bool {
	switch a {
	case alnum:
		return is(c, isAlnum)
	case capitals:
		return is(c, isUpper|isNumeral)
	case hexes:
		return is(c, isHex)
	case words:
		return is(c, isToken)
	case dotted:
		return is(c, isToken) || c == '.' || c == '='
	}
	return is(c, isToken) || c == '+' || c == '/' || c == '='
}

// vendorTokens is the catalogue. Each group names where its vendor describes the form.
var vendorTokens = []vendorToken{
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
	{AWSKey, "AKIA", capitals, 16, 16, nil},
	{AWSKey, "ASIA", capitals, 16, 16, nil},
	{AWSKey, "ABIA", capitals, 16, 16, nil},
	{AWSKey, "ACCA", capitals, 16, 16, nil},
	{AWSKey, "A3T", capitals, 17, 17, hasDigit},
	// https://docs.aws.amazon.com/bedrock/latest/userguide/api-keys.html
	{AWSKey, "ABSK", base64s, 80, 300, nil},
	{AWSKey, "bedrock-api-key-", base64s, 20, 4096, nil},
	// https://docs.aws.amazon.com/STS/latest/APIReference/API_Credentials.html: in base64, of "\x17\n\x06er/aws" and "!\n\torigin_ec"
	{AWSKey, "FwoGZXIvYXdz", base64s, 80, 4096, mixed},
	{AWSKey, "IQoJb3JpZ2luX2Vj", base64s, 80, 4096, mixed},
	// https://docs.aws.amazon.com/appsync/latest/devguide/security-authz.html, https://developer-docs.amazon.com/sp-api/
	{AWSKey, "da2-", alnum, 26, 26, hasDigit},
	{AWSKey, "amzn.mws.", words, 36, 36, hasDigit},
	// https://cloud.google.com/docs/authentication/api-keys, https://developers.google.com/identity/protocols/oauth2
	{GCPKey, "AIza", words, 30, 40, nil},
	{GCPKey, "GOCSPX-", words, 24, 32, nil},
	{GCPKey, "ya29.", words, 20, 2048, nil},
	{GCPKey, "GOOG", capitals, 16, 60, hasDigit},
	{GCPKey, "1//0", words, 40, 400, mixed},
	{GCPKey, "AQ.", words, 40, 100, mixed},
	{GCPKey, "APA91b", words, 100, 200, mixed},
	// https://github.blog/engineering/behind-githubs-new-authentication-token-formats/
	{GitHubToken, "ghp_", alnum, 30, 255, nil},
	{GitHubToken, "gho_", alnum, 30, 255, nil},
	{GitHubToken, "ghu_", alnum, 30, 255, nil},
	{GitHubToken, "ghs_", dotted, 30, 1024, nil},
	{GitHubToken, "ghr_", alnum, 30, 255, nil},
	{GitHubToken, "github_pat_", words, 22, 255, nil},
	// https://docs.gitlab.com/security/tokens/#token-prefixes
	{GitLabToken, "glpat-", dotted, 20, 400, nil},
	{GitLabToken, "gldt-", words, 20, 128, nil},
	{GitLabToken, "glrt-", dotted, 20, 400, nil},
	{GitLabToken, "glrtr-", dotted, 20, 400, nil},
	{GitLabToken, "glcbt-", words, 20, 128, nil},
	{GitLabToken, "glptt-", hexes, 40, 64, nil},
	{GitLabToken, "glft-", words, 20, 128, nil},
	{GitLabToken, "glimt-", words, 20, 128, nil},
	{GitLabToken, "glagent-", words, 40, 128, nil},
	{GitLabToken, "glsoat-", words, 20, 128, nil},
	{GitLabToken, "gloas-", words, 40, 128, nil},
	{GitLabToken, "glffct-", words, 20, 128, nil},
	{GitLabToken, "glwt-", words, 20, 128, nil},
	{GitLabToken, "GR1348941", words, 20, 40, nil},
	// https://docs.slack.dev/authentication/tokens
	{SlackToken, "xoxb-", words, 16, 256, hasDigit},
	{SlackToken, "xoxp-", words, 16, 256, hasDigit},
	{SlackToken, "xoxa-", words, 10, 256, hasDigit},
	{SlackToken, "xoxr-", words, 10, 256, hasDigit},
	{SlackToken, "xoxs-", words, 10, 256, hasDigit},
	{SlackToken, "xoxo-", words, 10, 256, hasDigit},
	{SlackToken, "xoxc-", words, 16, 256, hasDigit},
	{SlackToken, "xoxd-", base64s, 16, 512, nil},
	{SlackToken, "xoxe-", words, 16, 256, hasDigit},
	{SlackToken, "xoxe.xox", words, 16, 256, hasDigit},
	{SlackToken, "xwfp-", words, 16, 256, hasDigit},
	{SlackToken, "xapp-", words, 16, 256, hasDigit},
	// https://docs.stripe.com/keys
	{StripeKey, "sk_live_", alnum, 10, 247, nil},
	{StripeKey, "sk_test_", alnum, 10, 247, nil},
	{StripeKey, "sk_prod_", alnum, 10, 247, nil},
	{StripeKey, "rk_live_", alnum, 10, 247, nil},
	{StripeKey, "rk_test_", alnum, 10, 247, nil},
	{StripeKey, "rk_prod_", alnum, 10, 247, nil},
	{StripeKey, "sk_org_", words, 20, 247, hasDigit},
	{StripeKey, "pi_", words, 40, 90, clientSecret},
	{StripeKey, "seti_", words, 40, 90, clientSecret},
	{StripeKey, "whsec_", base64s, 24, 128, nil},
	// npm: "About access tokens"; PyPI: "How can I use API tokens"
	{NPMToken, "npm_", alnum, 36, 64, nil},
	{PyPIToken, "pypi-", words, 50, 1024, nil},
	// https://www.twilio.com/docs/iam/api-keys, https://www.twilio.com/docs/sendgrid/ui/account-and-settings/api-keys
	{TwilioKey, "SK", hexes, 32, 32, nil},
	{SendGridKey, "SG.", dotted, 40, 80, hasDigit},
	// https://platform.openai.com/docs/api-reference/authentication, https://docs.claude.com/en/api/overview
	{AnthropicKey, "sk-ant-", words, 20, 256, nil},
	{OpenAIKey, "sk-proj-", words, 20, 256, nil},
	{OpenAIKey, "sk-svcacct-", words, 20, 256, nil},
	{OpenAIKey, "sk-admin-", words, 20, 256, nil},
	{OpenAIKey, "sk-None-", words, 20, 256, nil},
	{VendorToken, "sk-or-v1-", hexes, 40, 64, nil},
	{OpenAIKey, "sk-", words, 20, 256, mixed},
	{VendorToken, "sk-lf-", words, 36, 36, hasDigit}, // https://langfuse.com/docs/api
	{VendorToken, "sk-", alnum, 32, 64, hasDigit},    // https://api-docs.deepseek.com and others that follow OpenAI's form
	{OpenAIKey, "sess-", alnum, 40, 64, hasDigit},
	// https://developer.hashicorp.com/vault/docs/concepts/tokens, https://developer.hashicorp.com/terraform/cloud-docs
	{VaultToken, "hvs.", words, 20, 400, nil},
	{VaultToken, "hvb.", words, 20, 1000, nil},
	{VaultToken, "hvr.", words, 20, 400, nil},
	{VaultToken, "s.", alnum, 24, 24, hasDigit},
	{VaultToken, "b.", alnum, 100, 1000, mixed},
	// https://huggingface.co/docs/hub/security-tokens
	{HuggingFaceToken, "hf_", alnum, 30, 64, nil},
	{HuggingFaceToken, "api_org_", alnum, 30, 64, nil},

	// Others, by vendor: their documents on API keys.
	{VendorToken, "dop_v1_", hexes, 64, 64, nil},                  // https://docs.digitalocean.com/reference/api/create-personal-access-token/
	{VendorToken, "doo_v1_", hexes, 64, 64, nil},                  //
	{VendorToken, "dor_v1_", hexes, 64, 64, nil},                  //
	{VendorToken, "shpat_", hexes, 32, 64, nil},                   // https://shopify.dev/docs/apps/build/authentication-authorization
	{VendorToken, "shpca_", hexes, 32, 64, nil},                   //
	{VendorToken, "shppa_", hexes, 32, 64, nil},                   //
	{VendorToken, "shpss_", hexes, 32, 64, nil},                   //
	{VendorToken, "sq0atp-", words, 22, 64, nil},                  // https://developer.squareup.com/docs/build-basics/access-tokens
	{VendorToken, "sq0csp-", words, 40, 64, nil},                  //
	{VendorToken, "EAAA", words, 22, 64, mixed},                   //
	{VendorToken, "EAA", alnum, 80, 512, mixed},                   // https://developers.facebook.com/docs/facebook-login/guides/access-tokens
	{VendorToken, "glc_", base64s, 32, 400, nil},                  // https://grafana.com/docs/grafana-cloud/
	{VendorToken, "glsa_", words, 40, 48, nil},                    //
	{VendorToken, "eyJrIjoi", base64s, 60, 400, nil},              //
	{VendorToken, "lin_api_", alnum, 32, 64, nil},                 // https://linear.app/developers
	{VendorToken, "lin_oauth_", alnum, 32, 128, nil},              //
	{VendorToken, "PMAK-", words, 50, 64, nil},                    // https://learning.postman.com/docs/developer/postman-api/authentication/
	{VendorToken, "pul-", alnum, 40, 40, hasDigit},                // https://www.pulumi.com/docs/pulumi-cloud/access-management/access-tokens/
	{VendorToken, "pnu_", alnum, 36, 36, nil},                     // https://docs.prefect.io/
	{VendorToken, "dapi", hexes, 32, 34, nil},                     // https://docs.databricks.com/dev-tools/auth/pat
	{VendorToken, "dp.pt.", alnum, 40, 48, nil},                   // https://docs.doppler.com/reference/auth-token-formats
	{VendorToken, "dp.st.", dotted, 40, 80, nil},                  //
	{VendorToken, "dt0c01.", dotted, 80, 100, nil},                // https://docs.dynatrace.com/docs/dynatrace-api/basics/dynatrace-api-authentication
	{VendorToken, "dt0s01.", dotted, 80, 100, nil},                //
	{VendorToken, "EZAK", alnum, 54, 54, nil},                     // https://docs.easypost.com/docs/authentication
	{VendorToken, "EZTK", alnum, 54, 54, nil},                     //
	{VendorToken, "duffel_live_", words, 40, 48, nil},             // https://duffel.com/docs/api/overview/test-your-integration
	{VendorToken, "duffel_test_", words, 40, 48, nil},             //
	{VendorToken, "FLWSECK", words, 12, 64, nil},                  // https://developer.flutterwave.com/docs/authentication
	{VendorToken, "fio-u-", words, 60, 70, nil},                   // https://developer.frame.io/docs/getting-started/authentication
	{VendorToken, "LTAI", alnum, 12, 26, hasDigit},                // https://www.alibabacloud.com/help/en/ram
	{VendorToken, "p8e-", alnum, 32, 32, nil},                     // https://developer.adobe.com/developer-console/docs/
	{VendorToken, "AKCp", alnum, 60, 80, nil},                     // https://jfrog.com/help/r/jfrog-platform-administration-documentation
	{VendorToken, "cmVmd", alnum, 59, 67, nil},                    //
	{VendorToken, "ATATT3", dotted, 100, 256, nil},                // https://support.atlassian.com/atlassian-account/docs/manage-api-tokens-for-your-atlassian-account/
	{VendorToken, "ATCTT3", dotted, 100, 256, nil},                //
	{VendorToken, "ATBB", alnum, 28, 36, mixed},                   //
	{VendorToken, "AGE-SECRET-KEY-1", capitals, 58, 58, nil},      // https://github.com/FiloSottile/age
	{VendorToken, "ops_ey", base64s, 100, 2000, nil},              // https://developer.1password.com/docs/service-accounts/
	{VendorToken, "A3-", words, 30, 40, hasDigit},                 // https://support.1password.com/secret-key-security/
	{VendorToken, "CLOJARS_", alnum, 60, 60, nil},                 // https://github.com/clojars/clojars-web/wiki/Deploy-Tokens
	{VendorToken, "rubygems_", alnum, 48, 48, nil},                // RubyGems: "API key scopes"
	{VendorToken, "rdme_", alnum, 70, 72, nil},                    // https://docs.readme.com/main/reference/intro/authentication
	{VendorToken, "sntrys_", base64s, 40, 400, nil},               // https://docs.sentry.io/account/auth-tokens/
	{VendorToken, "sntryu_", hexes, 64, 64, nil},                  //
	{VendorToken, "shippo_live_", hexes, 40, 40, nil},             // https://docs.goshippo.com/docs/guides_general/authentication/
	{VendorToken, "shippo_test_", hexes, 40, 40, nil},             //
	{VendorToken, "sgp_", words, 40, 64, hasDigit},                // https://sourcegraph.com/docs/cli/how-tos/creating_an_access_token
	{VendorToken, "pscale_tkn_", dotted, 32, 64, nil},             // https://planetscale.com/docs/api/reference/service-tokens
	{VendorToken, "pscale_oauth_", dotted, 32, 64, nil},           //
	{VendorToken, "pscale_pw_", dotted, 32, 64, nil},              //
	{VendorToken, "ntn_", alnum, 40, 50, nil},                     // https://developers.notion.com/docs/authorization
	{VendorToken, "secret_", alnum, 43, 43, mixed},                //
	{VendorToken, "tfp_", dotted, 50, 64, nil},                    // https://www.typeform.com/developers/get-started/personal-access-token/
	{VendorToken, "NRAK-", alnum, 27, 27, nil},                    // https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/
	{VendorToken, "NRII-", words, 32, 32, nil},                    //
	{VendorToken, "NRJS-", hexes, 19, 19, nil},                    //
	{VendorToken, "NRRA-", words, 32, 64, nil},                    //
	{VendorToken, "key-", hexes, 32, 32, nil},                     // https://documentation.mailgun.com/docs/mailgun/api-reference/authentication/
	{VendorToken, "xkeysib-", words, 60, 100, nil},                // https://developers.brevo.com/docs/getting-started
	{VendorToken, "xsmtpsib-", words, 60, 100, nil},               //
	{VendorToken, "access-sandbox-", words, 36, 36, nil},          // https://plaid.com/docs/api/tokens/
	{VendorToken, "access-production-", words, 36, 36, nil},       //
	{VendorToken, "access-development-", words, 36, 36, nil},      //
	{VendorToken, "AQVN", words, 35, 40, mixed},                   // https://yandex.cloud/en/docs/iam/concepts/authorization/api-key
	{VendorToken, "YCAJ", words, 30, 40, mixed},                   //
	{VendorToken, "t1.", dotted, 80, 400, mixed},                  //
	{VendorToken, "HRKU-", words, 36, 64, nil},                    // https://devcenter.heroku.com/articles/authentication
	{VendorToken, "API-", capitals, 24, 32, hasDigit},             // https://octopus.com/docs/octopus-rest-api/how-to-create-an-api-key
	{VendorToken, "ico-", alnum, 32, 32, nil},                     // https://www.infracost.io/docs/
	{VendorToken, "pplx-", alnum, 40, 64, nil},                    // https://docs.perplexity.ai/
	{VendorToken, "gsk_", alnum, 40, 64, mixed},                   // https://console.groq.com/docs/quickstart
	{VendorToken, "xai-", alnum, 60, 100, mixed},                  // https://docs.x.ai/docs/overview
	{VendorToken, "r8_", alnum, 37, 40, nil},                      // https://replicate.com/docs/topics/security/api-tokens
	{VendorToken, "fo1_", words, 43, 43, nil},                     // https://fly.io/docs/security/tokens/
	{VendorToken, "fm1r_", base64s, 80, 2000, nil},                //
	{VendorToken, "fm1a_", base64s, 80, 2000, nil},                //
	{VendorToken, "fm2_", base64s, 80, 2000, nil},                 //
	{VendorToken, "sha256~", words, 43, 43, nil},                  // https://docs.openshift.com (OAuth access tokens)
	{VendorToken, "4b1d", alnum, 38, 38, mixed},                   // https://clickhouse.com/docs/cloud/manage/openapi
	{VendorToken, "tskey-", words, 20, 80, hasDigit},              // https://tailscale.com/kb/1085/auth-keys
	{VendorToken, "dckr_pat_", words, 24, 64, nil},                // https://docs.docker.com/security/access-tokens/
	{VendorToken, "dckr_oat_", words, 24, 64, nil},                //
	{VendorToken, "figd_", words, 36, 64, nil},                    // https://developers.figma.com/docs/rest-api/authentication/
	{VendorToken, "figo_", words, 36, 64, nil},                    //
	{VendorToken, "sbp_", hexes, 40, 40, nil},                     // https://supabase.com/docs/guides/api/api-keys
	{VendorToken, "sb_secret_", words, 24, 64, nil},               //
	{VendorToken, "nfp_", alnum, 36, 64, nil},                     // https://docs.netlify.com/api/get-started/
	{VendorToken, "vercel_blob_rw_", words, 30, 80, nil},          // https://vercel.com/docs/storage/vercel-blob
	{VendorToken, "cio", alnum, 32, 32, mixed},                    // https://crates.io/settings/tokens
	{VendorToken, "rnd_", alnum, 28, 40, mixed},                   // https://api-docs.render.com/reference/authentication
	{VendorToken, "AKID", alnum, 28, 36, mixed},                   // Tencent Cloud: SecretId
	{VendorToken, "cio_", words, 40, 64, mixed},                   // Cargo: "Publishing", tokens
	{VendorToken, "phc_", alnum, 40, 50, nil},                     // https://posthog.com/docs/api
	{VendorToken, "phx_", words, 40, 50, nil},                     //
	{VendorToken, "pat-", words, 36, 44, hasDigit},                // https://developers.hubspot.com/docs/apps/legacy-apps/private-apps/overview
	{VendorToken, "pat", dotted, 79, 82, mixed},                   // https://airtable.com/developers/web/api/authentication
	{VendorToken, "CCIPAT_", words, 40, 80, nil},                  // https://circleci.com/docs/managing-api-tokens/
	{VendorToken, "bkua_", alnum, 40, 40, nil},                    // https://buildkite.com/docs/apis/managing-api-tokens
	{VendorToken, "ubsk_", alnum, 32, 64, nil},                    //
	{VendorToken, "sk_", alnum, 32, 128, hasDigit},                // https://elevenlabs.io, https://clerk.com: keys with a bare mode
	{VendorToken, "dnkey-", words, 70, 90, nil},                   // https://docs.defined.net/
	{VendorToken, "s-s4t2", words, 60, 70, nil},                   // https://api.intra.42.fr/apidoc
	{VendorToken, "v1.0-", words, 160, 180, nil},                  // https://developers.cloudflare.com/fundamentals/api/get-started/ca-keys/
	{VendorToken, "tk-us-", words, 48, 48, nil},                   // https://developers.scalingo.com/
	{VendorToken, "pat.", dotted, 60, 80, hasDigit},               // https://developer.harness.io/docs/platform/automation/api/add-and-manage-api-keys/
	{VendorToken, "sat.", dotted, 60, 80, hasDigit},               //
	{VendorToken, "sm_pat_", alnum, 16, 32, nil},                  // https://console.settlemint.com/documentation/
	{VendorToken, "sm_aat_", alnum, 16, 32, nil},                  //
	{VendorToken, "sm_sat_", alnum, 16, 32, nil},                  //
	{VendorToken, "aio_", alnum, 28, 28, hasDigit},                // https://io.adafruit.com/api/docs/
	{VendorToken, "alcht_", words, 30, 40, hasDigit},              // https://www.alchemy.com/docs
	{VendorToken, "apify_api_", alnum, 30, 50, nil},               // https://docs.apify.com/platform/integrations/api
	{VendorToken, "BBDC-", base64s, 40, 60, hasDigit},             // https://confluence.atlassian.com/bitbucketserver/http-access-tokens-939515499.html
	{VendorToken, "cfut_", alnum, 40, 64, hasDigit},               // https://developers.cloudflare.com/fundamentals/api/get-started/token-formats/
	{VendorToken, "cfat_", alnum, 40, 64, hasDigit},               //
	{VendorToken, "cfk_", alnum, 40, 64, hasDigit},                //
	{VendorToken, "CFPAT-", words, 40, 64, nil},                   // https://www.contentful.com/developers/docs/references/authentication/
	{VendorToken, "cflt", base64s, 60, 60, mixed},                 // https://docs.confluent.io/cloud/current/security/authenticate/workload-identities/
	{VendorToken, "CCIPRJ_", words, 40, 80, nil},                  // https://circleci.com/docs/managing-api-tokens/
	{VendorToken, "csk-", alnum, 40, 64, hasDigit},                // https://inference-docs.cerebras.ai/
	{VendorToken, "dp.ct.", alnum, 40, 48, nil},                   // https://docs.doppler.com/reference/auth-token-formats
	{VendorToken, "dp.sa.", alnum, 40, 48, nil},                   //
	{VendorToken, "dp.scim.", alnum, 40, 48, nil},                 //
	{VendorToken, "dp.audit.", alnum, 40, 48, nil},                //
	{VendorToken, "e2b_", hexes, 40, 40, nil},                     // https://e2b.dev/docs/api-key
	{VendorToken, "fc-", hexes, 32, 32, hasDigit},                 // https://docs.firecrawl.dev/
	{VendorToken, "figp_", words, 36, 64, nil},                    // https://developers.figma.com/docs/rest-api/authentication/
	{VendorToken, "figr_", words, 36, 64, nil},                    //
	{VendorToken, "flb_live_", alnum, 16, 64, nil},                // https://docs.fleetbase.io/
	{VendorToken, "fw_", alnum, 22, 32, mixed},                    // https://docs.fireworks.ai/
	{VendorToken, "jina_", words, 50, 80, hasDigit},               // https://jina.ai/api-dashboard/
	{VendorToken, "KGAT_", hexes, 32, 32, nil},                    // https://www.kaggle.com/docs/api
	{VendorToken, "sdk-", words, 36, 36, uuid},                    // https://launchdarkly.com/docs/home/account/api
	{VendorToken, "lsv2_pt_", words, 40, 64, hasDigit},            // https://docs.langchain.com/langsmith/
	{VendorToken, "lsv2_sk_", words, 40, 64, hasDigit},            //
	{VendorToken, "sk.", dotted, 60, 400, mixed},                  // https://docs.mapbox.com/api/guides/#access-tokens-and-token-scopes
	{VendorToken, "mdb_sa_sk_", words, 32, 64, hasDigit},          // https://www.mongodb.com/docs/atlas/api/service-accounts-overview/
	{VendorToken, "napi_", alnum, 60, 70, hasDigit},               // https://neon.com/docs/manage/api-keys
	{VendorToken, "NF-", alnum, 32, 40, mixed},                    // https://help.nightfall.ai/developer-api
	{VendorToken, "NRIQ-", words, 25, 40, nil},                    // https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/
	{VendorToken, "nvapi-", words, 60, 80, nil},                   // https://docs.nvidia.com/ngc/
	{VendorToken, "nyk_v0_", alnum, 40, 80, hasDigit},             // https://developer.nylas.com/docs/v3/auth/
	{VendorToken, "oy2", alnum, 43, 43, hasDigit},                 // https://learn.microsoft.com/nuget/nuget-org/publish-a-package
	{VendorToken, "00", words, 40, 40, mixed},                     // https://developer.okta.com/docs/guides/create-an-api-token/
	{VendorToken, "pcsk_", words, 50, 90, hasDigit},               // https://docs.pinecone.io/guides/projects/manage-api-keys
	{VendorToken, "ptr_", base64s, 40, 50, hasDigit},              // https://docs.portainer.io/api/access
	{VendorToken, "pk_", words, 36, 50, clickUp},                  // https://developer.clickup.com/docs/authentication
	{VendorToken, "pa-", words, 40, 50, mixed},                    // https://docs.voyageai.com/docs/api-key-and-installation
	{VendorToken, "re_", words, 30, 40, mixed},                    // https://resend.com/docs/dashboard/api-keys/introduction
	{VendorToken, "rh-api-", words, 36, 36, uuid},                 // https://docs.robinhood.com/crypto/trading/
	{VendorToken, "rootly_", hexes, 64, 64, nil},                  // https://docs.rootly.com/api-reference/overview
	{VendorToken, "rzp_live_", alnum, 14, 24, nil},                // https://razorpay.com/docs/api/authentication/
	{VendorToken, "sk_test_", words, 36, 40, hasDigit},            // https://www.checkout.com/docs/developer-resources/api/api-authentication
	{VendorToken, "sl.", words, 100, 2000, mixed},                 // https://developers.dropbox.com/oauth-guide
	{VendorToken, "sl.u.", words, 100, 2000, mixed},               //
	{VendorToken, "slk_", hexes, 64, 64, nil},                     // https://sourcegraph.com/docs/cody
	{VendorToken, "snyk_uat.", dotted, 40, 200, hasDigit},         // https://docs.snyk.io/snyk-api/authentication-for-api
	{VendorToken, "spu-", hexes, 32, 32, nil},                     // https://guides.spectralops.io/
	{VendorToken, "sqp_", alnum, 40, 40, hasDigit},                // https://docs.sonarsource.com/sonarqube-server/user-guide/managing-tokens
	{VendorToken, "squ_", alnum, 40, 40, hasDigit},                //
	{VendorToken, "sqa_", alnum, 40, 40, hasDigit},                //
	{VendorToken, "sqco_", alnum, 40, 70, mixed},                  //
	{VendorToken, "tgp_v1_", words, 40, 50, hasDigit},             // https://docs.together.ai/
	{VendorToken, "tvly-", words, 30, 50, hasDigit},               // https://docs.tavily.com/
	{VendorToken, "AAAAAAAAAAAAAAAAAAAAA", alnum, 60, 100, mixed}, // https://docs.x.com/fundamentals/authentication/oauth-2-0/application-only
	{VendorToken, "waka_", words, 36, 36, uuid},                   // https://wakatime.com/developers
	{VendorToken, "xprv", alnum, 107, 107, mixed},                 // https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki
	{VendorToken, "zpka_", words, 40, 80, hasDigit},               // https://zuplo.com/docs/policies/api-key-inbound
	{VendorToken, "live_", words, 40, 40, mixed},                  // https://developer.gocardless.com/api-reference/
	{VendorToken, "test_", hexes, 35, 35, nil},                    //
	{VendorToken, "live_", hexes, 35, 35, nil},                    // https://docs.lob.com/#tag/Authentication
}

// tokensByFirst sorts the catalogue by a prefix's first byte; seconds has a bit for each second byte that follows one,
// modulo 64.
var tokensByFirst, seconds = func() (t [256][]vendorToken, seconds [256]uint64) {
	for _, v := range vendorTokens {
		t[v.prefix[0]] = append(t[v.prefix[0]], v)
		seconds[v.prefix[0]] |= 1 << (v.prefix[1] & 63)
	}
	return t, seconds
}()

// vendorForm tries the forms that a prefix at i does not show: one that begins further in front, or a mark inside. i
// begins a run of token bytes that ends at end.
func (s *scan) vendorForm(i, end int) int {
	if i == 0 {
		return s.marked(i, end)
	}
	text := s.text
	switch text[i-1] {
	case '.', '~':
		return s.prefixedBefore(i, end)
	case '$':
		return s.braintree(i, end)
	case '+', '/':
		if e := s.bareWebhook(i, end); e > 0 {
			return e
		}
		// A body of base64 may be cut into runs by its own signs.
		start := i
		for lo := max(0, i-64); start > lo && base64s.has(text[start-1]); start-- {
		}
		return s.prefixed(start)
	case ':', '|':
		return s.numbered(i, end)
	}
	return s.marked(i, end)
}

// prefixed returns the end of a token of the catalogue that begins at i.
func (s *scan) prefixed(i int) int {
	text := s.text
	if i+1 >= len(text) || seconds[text[i]]&(1<<(text[i+1]&63)) == 0 {
		return 0
	}
	for k := range tokensByFirst[text[i]] {
		v := &tokensByFirst[text[i]][k]
		if !s.r.enabled[v.detector] || !hasAt(text, i, v.prefix) {
			continue
		}
		body := i + len(v.prefix)
		end := body
		for end < len(text) && end-body <= v.max && v.body.has(text[end]) {
			end++
		}
		for v.body == dotted && end > body && text[end-1] == '.' {
			end--
		}
		if n := end - body; n < v.min || n > v.max || continued(text, end) {
			continue
		}
		if (v.check == nil || v.check(text[body:end])) && !crossedOut(text[body:end]) {
			return s.emit(i, end, v.detector)
		}
	}
	return 0
}

// prefixedBefore handles tokens of several parts: the long part at i follows a dot or a tilde, and the prefix is before.
func (s *scan) prefixedBefore(i, end int) int {
	text := s.text
	start := i
	for lo := max(0, i-64); start > lo && (is(text[start-1], isToken) || text[start-1] == '.' || text[start-1] == '~'); start-- {
	}
	if e := s.azureSecret(start, i); e > 0 {
		return e
	}
	if e := s.atlas(start, i, end); e > 0 {
		return e
	}
	if e := s.discord(start); e > 0 {
		return e
	}
	return s.prefixed(start)
}

// azureSecret recognises a client secret of Microsoft Entra in the dotted run from start: three signs, a digit, "Q~", and
// 31 to 34 more. https://learn.microsoft.com/purview/sit-defn-azure-ad-client-secret
func (s *scan) azureSecret(start, i int) int {
	text := s.text
	mark := bytes.Index(text[start:i], []byte("Q~"))
	if mark < 4 || !s.r.enabled[AzureKey] || !is(text[start+mark-1], isNumeral) {
		return 0
	}
	from, end := start+mark-4, i
	for end < len(text) && (is(text[end], isToken) || text[end] == '.' || text[end] == '~') {
		end++
	}
	for text[end-1] == '.' {
		end--
	}
	if n := end - from - 6; n < 30 || n > 36 {
		return 0
	}
	return s.emit(from, end, AzureKey)
}

// atlas recognises a token of HCP Terraform: 14 signs, ".atlasv1.", and some 67 more.
// https://developer.hashicorp.com/terraform/cloud-docs/users-teams-organizations/api-tokens
func (s *scan) atlas(start, i, end int) int {
	if !s.r.enabled[VaultToken] || !hasAt(s.text, i-len(".atlasv1."), ".atlasv1.") || end-i < 40 {
		return 0
	}
	return s.emit(start, end, VaultToken)
}

// discord recognises a bot's token: the user's number in base64, six signs, and 27 or more.
// https://discord.com/developers/docs/reference#authentication
func (s *scan) discord(i int) int {
	text := s.text
	id := span(text, i, isToken)
	if n := id - i; !s.r.enabled[DiscordToken] || n < 23 || n > 28 || id >= len(text) || text[id] != '.' {
		return 0
	}
	stamp := span(text, id+1, isToken)
	if stamp-id != 7 || stamp >= len(text) || text[stamp] != '.' {
		return 0
	}
	end := span(text, stamp+1, isToken)
	if n := end - stamp - 1; n < 27 || n > 40 {
		return 0
	}
	var buf [32]byte
	plain := decodeBase64(buf[:0], text[i:id])
	if (len(plain) < 15 || span(plain, 0, isNumeral) != len(plain)) && !(text[i] >= 'M' && text[i] <= 'O' && mixed(text[i:end])) {
		return 0
	}
	return s.emit(i, end, DiscordToken)
}

// braintree recognises an access token of PayPal: "access_token$", the environment, a merchant, and 32 digits.
// https://developer.paypal.com/braintree/docs/guides/extend/oauth/access-tokens
func (s *scan) braintree(i, end int) int {
	const mark = "access_token$"
	start := i
	for lo := max(0, i-64); start > lo && (is(s.text[start-1], isToken) || s.text[start-1] == '$'); start-- {
	}
	n := bytes.Index(s.text[start:i], []byte(mark))
	if n < 0 || end-i != 32 || !s.r.enabled[VendorToken] {
		return 0
	}
	return s.emit(start+n+len(mark), end, VendorToken)
}

// bareWebhook recognises a webhook's address without its scheme by the credential at its end.
func (s *scan) bareWebhook(i, end int) int {
	text := s.text
	if !mixed(text[i:end]) {
		return 0
	}
	start := i
	for lo := max(0, i-96); start > lo && (is(text[start-1], isToken) || text[start-1] == '.' || text[start-1] == '/'); start-- {
	}
	for start < i && text[start] == '/' {
		start++
	}
	return s.webhook(start)
}

// numbered recognises tokens that begin with their bot's or application's number. Telegram: the number, a colon, and 35
// signs, https://core.telegram.org/bots/features#botfather. Facebook: 15 or 16 digits, a bar, and 27 or more,
// https://developers.facebook.com/docs/facebook-login/guides/access-tokens#apptokens.
func (s *scan) numbered(i, end int) int {
	text := s.text
	start := back(text, i-1, max(0, i-18), isNumeral)
	digits, body := i-1-start, end-i
	switch {
	case text[i-1] == ':' && digits >= 7 && digits <= 12 && body == 35 && mixed(text[i:end]) && s.r.enabled[TelegramToken]:
		return s.emit(start, end, TelegramToken)
	case text[i-1] == '|' && (digits == 15 || digits == 16) && body >= 27 && body <= 40 && s.r.enabled[VendorToken]:
		return s.emit(start, end, VendorToken)
	}
	return 0
}

// webhooks are addresses that are credentials as a whole: whoever has one may post.
var webhooks = []struct {
	host     string
	detector Detector
}{
	{"hooks.slack.com/services/", SlackToken},      // https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
	{"hooks.slack.com/workflows/", SlackToken},     //
	{"hooks.slack.com/triggers/", SlackToken},      //
	{"discord.com/api/webhooks/", DiscordToken},    // https://discord.com/developers/docs/resources/webhook
	{"discordapp.com/api/webhooks/", DiscordToken}, //
	{".webhook.office.com/webhookb2/", AzureKey},   // https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/
	{"api.telegram.org/bot", TelegramToken},        // https://core.telegram.org/bots/api#authorizing-your-bot
	{"hooks.zapier.com/hooks/catch/", VendorToken}, // https://help.zapier.com/hc/en-us/articles/8496288690317
	{"outlook.office.com/webhook/", AzureKey},      //
	{"chat.googleapis.com/v1/spaces/", GCPKey},     // https://developers.google.com/workspace/chat/quickstart/webhooks
}

// webhook masks the path of the address whose host begins at i.
func (s *scan) webhook(i int) int {
	text := s.text
	for _, w := range webhooks {
		k := i
		if w.host[0] == '.' {
			k = span(text, i, isToken)
		}
		if !s.r.enabled[w.detector] || !hasAt(text, k, w.host) {
			continue
		}
		start := k + len(w.host)
		end := start
		for end < len(text) && (is(text[end], isToken) || text[end] == '/' || text[end] == '@' || text[end] == '.' || text[end] == ':' || text[end] == '+') {
			end++
		}
		if end > start {
			return s.emit(start, end, w.detector)
		}
	}
	return 0
}

// marked recognises tokens by a mark in their middle or at their end instead of a prefix.
func (s *scan) marked(i, end int) int {
	text := s.text
	switch n := end - i; {
	case n == 84 && hasAt(text, end-8, "AZDO"), n == 84 && hasAt(text, i+76, "AZDO"):
		// https://learn.microsoft.com/azure/devops/release-notes/2024/general/sprint-241-update
		if s.r.enabled[AzureKey] {
			return s.emit(i, end, AzureKey)
		}
	case n == 84 && hasAt(text, i+52, "JQQJ99"), n == 52 && hasAt(text, i+40, "AzFu"), n == 52 && hasAt(text, i+42, "AzSe"):
		// https://github.com/microsoft/security-utilities/blob/main/GeneratedRegexPatterns/
		if s.r.enabled[AzureKey] {
			return s.emit(i, end, AzureKey)
		}
	case n == 40 && hasAt(text, end-4, "NRAL"), n == 50 && text[i+32] == '-' && text[i+41] == '-' && hexRun(text[i:end]):
		// https://docs.newrelic.com/docs/apis/intro-apis/new-relic-api-keys/
		// https://documentation.mailgun.com/docs/mailgun/user-manual/domains/domain-keys
		if s.r.enabled[VendorToken] {
			return s.emit(i, end, VendorToken)
		}
	case n == 40 && hasAt(text, end-4, "_mmk"):
		// https://dev.maxmind.com/license-key-validation-api
		if s.r.enabled[VendorToken] {
			return s.emit(i, end, VendorToken)
		}
	case n >= 36 && n <= 38 && hasAt(text, i+32, "-us") && span(text, i, isHex) == i+32:
		// https://mailchimp.com/developer/marketing/guides/quick-start/#generate-your-api-key
		if s.r.enabled[VendorToken] {
			return s.emit(i, end, VendorToken)
		}
	}
	return 0
}

func hasDigit(v []byte) bool {
	for _, c := range v {
		if is(c, isNumeral) {
			return true
		}
	}
	return false
}

// mixed reports whether capitals, small letters and digits all occur, as random bodies have them and words do not.
func mixed(v []byte) bool {
	var seen uint16
	for _, c := range v {
		seen |= class[c]
	}
	return seen&isUpper != 0 && seen&isLower != 0 && seen&isNumeral != 0
}

func uuid(v []byte) bool { return isUUID(v, 0) }

// clientSecret knows Stripe's secrets of a payment by their middle.
func clientSecret(v []byte) bool { return bytes.Contains(v, []byte("_secret_")) }

// clickUp knows the bodies of ClickUp's tokens: a user's number and 32 capitals and digits.
func clickUp(v []byte) bool {
	n := span(v, 0, isNumeral)
	return n >= 4 && len(v) == n+33 && v[n] == '_' && span(v, n+1, isUpper|isNumeral) == len(v)
}

// crossedOut reports whether nothing but x's and signs stand for a token's body, as in documents.
func crossedOut(v []byte) bool {
	for _, c := range v {
		if is(c, isAlnum) && lower(c) != 'x' {
			return false
		}
	}
	return true
}
