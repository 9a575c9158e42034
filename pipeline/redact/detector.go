package redact

// A Detector names the rule that found a secret.
type Detector uint8

// The detectors. Their names are public: they appear in a record's `redacted` list and in Config.Detect.
const (
	SecretName Detector = iota // a value under a secret name, or at a path of Config.Fields; also of a pair in a text
	Email
	PaymentCard
	JWT
	BearerToken
	BasicAuth
	PrivateKey
	URLPassword
	URLParameter
	IBAN
	USSSN
	AWSKey
	AzureKey
	GCPKey
	GitHubToken
	GitLabToken
	SlackToken
	StripeKey
	NPMToken
	PyPIToken
	TwilioKey
	SendGridKey
	OpenAIKey
	AnthropicKey
	VaultToken
	HuggingFaceToken
	TelegramToken
	DiscordToken
	VendorToken // tokens of other vendors with a prefix of their own
	PasswordHash
	Phone
	IP
	MAC
	USITIN
	NationalID
	Identity  // user_id or ip_address, made a pseudonym of
	NotListed // not named by Config.Only
	Limit     // beyond what is looked through, replaced whole
	detectorCount
)

// A detectorRow describes a detector.
type detectorRow struct {
	name     string
	optional bool // off unless named
	always   bool // cannot be chosen
	form     form
}

// personal reports whether what it finds is data about a person, and no credential.
func (r *detectorRow) personal() bool { return r.form != opaque || r.optional }

var detectors = [detectorCount]detectorRow{
	SecretName:       {name: "secret_name", always: true},
	Email:            {name: "email", form: mailbox},
	PaymentCard:      {name: "payment_card", form: lastFour},
	JWT:              {name: "jwt"},
	BearerToken:      {name: "bearer_token"},
	BasicAuth:        {name: "basic_auth"},
	PrivateKey:       {name: "private_key"},
	URLPassword:      {name: "url_password"},
	URLParameter:     {name: "url_parameter"},
	IBAN:             {name: "iban", form: lastFour},
	USSSN:            {name: "us_ssn", form: lastFour},
	AWSKey:           {name: "aws_key"},
	AzureKey:         {name: "azure_key"},
	GCPKey:           {name: "gcp_key"},
	GitHubToken:      {name: "github_token"},
	GitLabToken:      {name: "gitlab_token"},
	SlackToken:       {name: "slack_token"},
	StripeKey:        {name: "stripe_key"},
	NPMToken:         {name: "npm_token"},
	PyPIToken:        {name: "pypi_token"},
	TwilioKey:        {name: "twilio_key"},
	SendGridKey:      {name: "sendgrid_key"},
	OpenAIKey:        {name: "openai_key"},
	AnthropicKey:     {name: "anthropic_key"},
	VaultToken:       {name: "vault_token"},
	HuggingFaceToken: {name: "huggingface_token"},
	TelegramToken:    {name: "telegram_token"},
	DiscordToken:     {name: "discord_token"},
	VendorToken:      {name: "vendor_token"},
	PasswordHash:     {name: "password_hash"},
	Phone:            {name: "phone", optional: true, form: lastFour},
	IP:               {name: "ip", optional: true, form: address},
	MAC:              {name: "mac", optional: true},
	USITIN:           {name: "us_itin", optional: true, form: lastFour},
	NationalID:       {name: "national_id", optional: true, form: lastFour},
	Identity:         {name: "identity", always: true},
	NotListed:        {name: "not_listed", always: true},
	Limit:            {name: "limit", always: true},
}

// String returns the detector's public name.
func (d Detector) String() string {
	if d >= detectorCount {
		return "unknown"
	}
	return detectors[d].name
}

// detectorNamed finds a detector that Config.Detect may name.
func detectorNamed(name string) (Detector, bool) {
	for d := range detectors {
		if detectors[d].name == name && !detectors[d].always {
			return Detector(d), true
		}
	}
	return 0, false
}
