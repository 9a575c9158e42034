package pipeline

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A convention is how the events of one product are written, where that is not how everybody does it. What it does not
// say follows from the general reading.
type convention struct {
	name  string // in classified_by, behind "convention:"
	needs string // names of the line that all its events have, or paths further in
	reads []roleIn
	kinds []kindOf // the first that fits; then what the action's words say, then default
	other activity.Kind
}

// A roleIn says where a meaning is found: the first path of these that has a value.
type roleIn struct {
	role  role
	paths string
}

// A kindOf gives a kind to events whose text at a path matches one of the patterns, in any case; "" is the action.
type kindOf struct {
	kind     activity.Kind
	path     string
	patterns string
}

// conventions are tried in this order. An element "*" of a path is the first of an array.
var conventions = []convention{
	{ // docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
		name: "cloudtrail", needs: "eventSource eventName eventVersion",
		reads: []roleIn{
			{role(activity.UserID), "userIdentity.userName userIdentity.arn userIdentity.principalId userIdentity.invokedBy userIdentity.accountId"},
			{role(activity.IPAddress), "sourceIPAddress"}, {roleAction, "eventName"}, {roleFailure, "errorCode"},
			{role(activity.TableName), "eventSource"}, {roleOutcome, "responseElements.ConsoleLogin responseElements.CheckMfa"},
		},
		kinds: []kindOf{
			{activity.AuthEvent, "", "*Login* AssumeRole* GetSessionToken GetFederationToken CheckMfa SwitchRole ExitRole RenewRole CredentialVerification CredentialChallenge Authenticate UserAuthentication* CreateToken InitiateAuth RespondToAuthChallenge AdminInitiateAuth GetSigninToken"},
			{activity.DataAccess, "", "Get* List* Describe* Head* Lookup* BatchGet* Query Scan Select* Search* View* Decrypt Preview* Export* Download*"},
		},
		other: activity.DataChange,
	},
	{ // kubernetes.io/docs/reference/config-api/apiserver-audit.v1
		name: "kubernetes_audit", needs: "verb user objectRef",
		reads: []roleIn{
			{role(activity.UserID), "user.username user.uid"}, {role(activity.IPAddress), "sourceIPs"}, {roleAction, "verb"},
			{role(activity.StatusCode), "responseStatus.code"}, {role(activity.Endpoint), "requestURI"},
			{role(activity.TableName), "objectRef.resource"}, {role(activity.EntityID), "objectRef.name"},
			{roleTime, "stageTimestamp requestReceivedTimestamp"},
		},
		kinds: []kindOf{
			{activity.AuthEvent, "objectRef.resource", "tokenreviews"},
			{activity.DataAccess, "objectRef.resource", "*accessreviews *rulesreviews"},
			{activity.DataAccess, "", "get list watch proxy"},
			{activity.DataChange, "", "create update patch delete deletecollection post put connect"},
		},
		other: activity.DataAccess,
	},
	{ // developer.hashicorp.com/vault/docs/audit
		name: "vault_audit", needs: "type request request.operation request.path",
		reads: []roleIn{
			{role(activity.UserID), "auth.entity_id auth.display_name auth.metadata.username"}, {role(activity.IPAddress), "request.remote_address"},
			{roleAction, "request.operation"}, {role(activity.TableName), "request.path"}, {roleFailure, "error"},
			{role(activity.RequestID), "request.id"},
		},
		kinds: []kindOf{
			{activity.AuthEvent, "request.path", "auth/*login* auth/token/* auth/*/login sys/leases/renew sys/renew sys/revoke identity/oidc/token/*"},
			{activity.DataAccess, "", "read list lookup help header"},
			{activity.DataChange, "", "create update delete patch write renew revoke rollback"},
		},
		other: activity.DataAccess,
	},
	{ // cloud.google.com/logging/docs/reference/audit/auditlog/rest/Shared.Types/AuditLog
		name: "google_audit", needs: "protoPayload protoPayload.methodName",
		reads: []roleIn{
			{role(activity.UserID), "protoPayload.authenticationInfo.principalEmail protoPayload.authenticationInfo.principalSubject"},
			{role(activity.IPAddress), "protoPayload.requestMetadata.callerIp"}, {role(activity.UserAgent), "protoPayload.requestMetadata.callerSuppliedUserAgent"},
			{roleAction, "protoPayload.methodName"}, {role(activity.TableName), "protoPayload.serviceName"}, {role(activity.EntityID), "protoPayload.resourceName"},
			{roleFailure, "protoPayload.status.code"},
		},
		kinds: []kindOf{
			{activity.AuthEvent, "", "*.SignIn* *Login* *.GenerateAccessToken *.SignJwt *.SignBlob *.GenerateIdToken *Authenticate*"},
			{activity.DataAccess, "", "*.get *.list *.Get* *.List* *.Read* *.search* *.aggregatedList *.testIamPermissions *.Query* *.query*"},
		},
		other: activity.DataChange,
	},
	{ // developer.okta.com/docs/reference/api/system-log
		name: "okta", needs: "eventType actor outcome published",
		reads: []roleIn{
			{role(activity.UserID), "actor.alternateId actor.displayName actor.id"}, {role(activity.IPAddress), "client.ipAddress"},
			{role(activity.UserAgent), "client.userAgent.rawUserAgent"}, {roleAction, "eventType"}, {roleOutcome, "outcome.result"},
			{role(activity.FailureReason), "outcome.reason"}, {role(activity.Description), "displayMessage"},
		},
		kinds: []kindOf{
			{activity.AuthEvent, "", "user.session.* user.authentication.* user.mfa.* policy.evaluate_sign_on app.oauth2.* user.account.lock* user.account.unlock* user.account.*password* user.credential.* security.* device.user.* system.push.* system.sms.* system.voice.* system.email.*"},
			{activity.DataAccess, "", "*.read* *.list* *.view* *.export* *.download*"},
			{activity.SystemEvent, "", "system.* core.*"},
		},
		other: activity.DataChange,
	},
	{ // auth0.com/docs/deploy-monitor/logs/log-event-type-codes
		name: "auth0", needs: "type log_id date",
		reads: []roleIn{
			{role(activity.UserID), "user_name user_id client_name client_id"}, {role(activity.IPAddress), "ip client_ip"}, {roleAction, "type"},
			{role(activity.UserAgent), "user_agent"},
		},
		kinds: []kindOf{
			{activity.DataAccess, "", "mgmt_api_read"}, {activity.DataChange, "", "sapi fapi scu fcu sdu fdu sv ss fs"},
			{activity.SystemEvent, "", "api_limit* depnote du w ublkdu appi limit_*"},
		},
		other: activity.AuthEvent,
	},
	{ // keycloak.org/docs-api/latest/javadocs/org/keycloak/events/EventType.html
		name: "keycloak", needs: "type realmId clientId",
		reads: []roleIn{{role(activity.UserID), "details.username userId"}, {role(activity.IPAddress), "ipAddress"}, {roleAction, "type"}, {roleFailure, "error"}, {role(activity.SessionID), "sessionId"}},
		kinds: []kindOf{{activity.DataChange, "", "UPDATE_PROFILE* UPDATE_EMAIL* REGISTER* DELETE_ACCOUNT* GRANT_CONSENT* REVOKE_GRANT*"}},
		other: activity.AuthEvent,
	},
	{
		name: "keycloak_admin", needs: "operationType resourceType realmId",
		reads: []roleIn{{role(activity.UserID), "authDetails.username authDetails.userId"}, {role(activity.IPAddress), "authDetails.ipAddress"}, {roleAction, "operationType"}, {role(activity.TableName), "resourceType"}, {role(activity.EntityID), "resourcePath"}, {roleFailure, "error"}},
		other: activity.DataChange,
	},
	{ // learn.microsoft.com/office/office-365-management-api/office-365-management-activity-api-schema
		name: "microsoft365", needs: "Operation UserId Workload",
		reads: []roleIn{
			{role(activity.UserID), "UserId UserKey"}, {role(activity.IPAddress), "ClientIP ClientIPAddress ActorIpAddress"}, {roleAction, "Operation"},
			{roleOutcome, "ResultStatus"}, {role(activity.TableName), "Workload"}, {role(activity.EntityID), "ObjectId"}, {role(activity.EntityType), "ItemType"},
		},
		kinds: []kindOf{
			{activity.AuthEvent, "", "UserLoggedIn UserLoginFailed UserLoggedOff *SignIn* *Login* *password* *credential* *Token*"},
			{activity.DataAccess, "", "*Accessed* *Downloaded* *Previewed *Viewed* *Searched* Search* Get-* *Synced* *Bind View* Export*"},
		},
		other: activity.DataChange,
	},
	{ // learn.microsoft.com/entra/identity/monitoring-health/concept-sign-in-log-activity-details
		name: "entra", needs: "userPrincipalName ipAddress createdDateTime",
		reads: []roleIn{{role(activity.UserID), "userPrincipalName userId"}, {role(activity.IPAddress), "ipAddress"}, {roleTime, "createdDateTime"}},
		other: activity.AuthEvent,
	},
	{ // learn.microsoft.com/azure/azure-monitor/platform/resource-logs-schema
		name: "azure", needs: "operationName category",
		reads: []roleIn{
			{role(activity.UserID), "properties.userPrincipalName properties.initiatedBy.user.userPrincipalName properties.initiatedBy.app.displayName identity.claim.upn identity.claim.unique_name identity.claims.name identity.claims.appid identity.UserName caller identity.claim.appid"},
			{role(activity.IPAddress), "callerIpAddress properties.ipAddress properties.callerIpAddress"}, {roleAction, "operationName"},
			{roleOutcome, "resultType properties.result resultSignature"}, {role(activity.StatusCode), "properties.httpStatusCode statusCode"},
			{role(activity.EntityID), "resourceId"}, {role(activity.Description), "resultDescription"},
		},
		kinds: []kindOf{
			{activity.SystemEvent, "category", "AdvancedHunting-*"},
			{activity.AuthEvent, "category", "*SignInLogs *signin*"},
			{activity.AuthEvent, "", "*sign-in* Authentication"},
			{activity.DataAccess, "", "*/read *Get *List* *Backup Get* */listkeys/action Read*"},
			{activity.DataChange, "", "*/write */delete */action"},
		},
	},
	{ // goteleport.com/docs/reference/monitoring/audit
		name: "teleport", needs: "event ei code",
		reads: []roleIn{{role(activity.UserID), "user login identity.user identity.impersonator"}, {role(activity.IPAddress), "addr.remote"}, {roleAction, "event"}, {roleOutcome, "success"}, {role(activity.SessionID), "sid"}, {role(activity.FailureReason), "error"}},
		kinds: []kindOf{
			{activity.AuthEvent, "", "auth user.login session.start session.end session.join session.leave session.rejected cert.create bot.join instance.join access_request.* mfa.* recovery_* reset_password_token.*"},
			{activity.SystemEvent, "", "session.command session.disk session.network session.data resize port*"},
			{activity.DataAccess, "", "scp sftp db.session.query* *.read *.list session.recording.access"},
		},
	},
	{ // duo.com/docs/adminapi#authentication-logs
		name: "duo", needs: "access_device factor result",
		reads: []roleIn{{role(activity.UserID), "user.name email user.key"}, {role(activity.IPAddress), "access_device.ip auth_device.ip"}, {roleAction, "event_type"}, {roleOutcome, "result"}, {role(activity.TwoFactorMethod), "factor"}, {role(activity.FailureReason), "reason"}},
		other: activity.AuthEvent,
	},
	{ // developers.google.com/admin-sdk/reports/reference/rest/v1/activities
		name: "google_workspace", needs: "actor events id.applicationName",
		reads: []roleIn{{role(activity.UserID), "actor.email actor.profileId"}, {role(activity.IPAddress), "ipAddress"}, {roleAction, "events.*.name"}, {role(activity.TableName), "id.applicationName"}, {roleTime, "id.time"}},
		kinds: []kindOf{
			{activity.AuthEvent, "id.applicationName", "login saml token"},
			{activity.DataAccess, "", "view download preview print *_viewed *_downloaded email_log_search*"},
		},
		other: activity.DataChange,
	},
	{ // docs.slack.dev/admins/audit-logs-api
		name: "slack", needs: "action actor entity date_create",
		reads: []roleIn{{role(activity.UserID), "actor.user.email actor.user.id"}, {role(activity.IPAddress), "context.ip_address"}, {role(activity.UserAgent), "context.ua"}, {roleAction, "action"}, {roleTime, "date_create"}, {role(activity.EntityType), "entity.type"}},
		kinds: []kindOf{{activity.AuthEvent, "", "user_login* user_logout* *session* *2fa* *password*"}, {activity.DataAccess, "", "file_downloaded* *_viewed *_export* *_accessed"}},
		other: activity.DataChange,
	},
	{ // developer.1password.com/docs/events-api/item-usages
		name: "1password_items", needs: "item_uuid vault_uuid user",
		reads: []roleIn{{role(activity.UserID), "user.email user.name user.uuid"}, {role(activity.IPAddress), "client.ip_address"}, {roleAction, "action"}, {role(activity.TableName), "vault_uuid"}, {role(activity.EntityID), "item_uuid"}},
		other: activity.DataAccess,
	},
	{ // developer.1password.com/docs/events-api/sign-in-attempts
		name: "1password", needs: "session_uuid category target_user",
		reads: []roleIn{{role(activity.UserID), "target_user.email target_user.name"}, {role(activity.IPAddress), "client.ip_address"}, {roleAction, "type"}, {roleOutcome, "category"}},
		other: activity.AuthEvent,
	},
	{ // www.mongodb.com/docs/manual/reference/log-messages
		name: "mongodb", needs: "t s c ctx msg",
		reads: []roleIn{{role(activity.UserID), "attr.principalName attr.user.user attr.user attr.authenticationInfo.user"}, {role(activity.IPAddress), "attr.remote attr.client"}, {roleLevel, "s"}, {role(activity.Description), "msg"}, {role(activity.Component), "c"}, {roleError, "attr.error"}},
		kinds: []kindOf{{activity.AuthEvent, "msg", "*authenticat* *authoriz*"}},
		other: activity.SystemEvent,
	},
	{ // www.mongodb.com/docs/manual/reference/audit-message
		name: "mongodb_audit", needs: "atype ts users",
		reads: []roleIn{{role(activity.UserID), "users.*.user param.user"}, {role(activity.IPAddress), "remote.ip"}, {roleAction, "atype"}, {role(activity.TableName), "param.ns"}},
		kinds: []kindOf{{activity.AuthEvent, "", "authenticate logout clientMetadata"}, {activity.DataChange, "param.command", "insert update delete findandmodify create* drop*"}, {activity.DataAccess, "", "authCheck"}},
		other: activity.DataChange,
	},
	{ // dev.mysql.com/doc/refman/8.4/en/audit-log-file-formats.html
		name: "mysql_audit", needs: "class event connection_id account",
		reads: []roleIn{{role(activity.UserID), "account.user login.user"}, {role(activity.IPAddress), "login.ip"}, {roleAction, "table_access_data.sql_command general_data.sql_command event"}, {roleStatement, "table_access_data.query general_data.query"}, {role(activity.TableName), "table_access_data.table"}, {roleFailure, "connection_data.status"}},
		kinds: []kindOf{{activity.AuthEvent, "class", "connection"}, {activity.SystemEvent, "class", "audit"}},
		other: activity.DataAccess,
	},
	{ // caddyserver.com/docs/caddyfile/directives/log
		name: "caddy", needs: "request status request.remote_ip request.uri",
		reads: []roleIn{{role(activity.IPAddress), "request.remote_ip request.client_ip"}, {role(activity.UserAgent), "request.headers.User-Agent"}, {roleDurationS, "duration"}},
		other: activity.APITransaction,
	},
	{ // www.elastic.co/docs/reference/logstash/plugins/plugins-filters-grok: COMBINEDAPACHELOG
		name: "apache", needs: "clientip verb request response",
		reads: []roleIn{{role(activity.IPAddress), "clientip"}, {role(activity.Method), "verb"}, {role(activity.Endpoint), "request"}, {role(activity.StatusCode), "response"}, {role(activity.UserAgent), "agent"}},
		other: activity.APITransaction,
	},
	{ // doc.traefik.io/traefik/observe/logs-and-access-logs
		name: "traefik", needs: "RequestMethod RequestPath DownstreamStatus",
		reads: []roleIn{{role(activity.Method), "RequestMethod"}, {role(activity.Endpoint), "RequestPath"}, {role(activity.StatusCode), "DownstreamStatus OriginStatus"}, {roleDurationNS, "Duration"}, {role(activity.IPAddress), "ClientHost ClientAddr"}, {role(activity.UserAgent), "request_User-Agent"}, {roleTime, "StartUTC time"}, {roleUser, "ClientUsername"}},
		other: activity.APITransaction,
	},
}

// marks returns the names of the line that a convention needs.
func (c *convention) marks() (names []string) {
	for _, n := range strings.Fields(c.needs) {
		if !strings.Contains(n, ".") {
			names = append(names, n)
		}
	}
	return names
}

// A wanted convention is one that a line may follow: its marks as bits.
type wanted struct {
	*convention
	marks [2]uint64
	by    string
}

// wantedConventions numbers the marks as the table of names does.
func wantedConventions() []wanted {
	out := make([]wanted, len(conventions))
	for i := range conventions {
		c := &conventions[i]
		out[i] = wanted{convention: c, by: "convention:" + c.name}
		for _, m := range c.marks() {
			e := names.find(inLine, tape.Hash([]byte(m)), []byte(m))
			out[i].marks[(e.mark-1)>>6] |= 1 << ((e.mark - 1) & 63)
		}
	}
	return out
}

// recognise finds the convention that the line follows and reads it as that says; nil for none.
func (r *reading) recognise(all []wanted) *wanted {
	for i := range all {
		w := &all[i]
		if r.marks[0]&w.marks[0] == w.marks[0] && r.marks[1]&w.marks[1] == w.marks[1] && r.meets(w.convention) {
			for _, in := range w.reads {
				r.readAs(in)
			}
			return w
		}
	}
	return nil
}

func (r *reading) meets(c *convention) bool {
	for need := range strings.FieldsSeq(c.needs) {
		if strings.Contains(need, ".") && r.at(need) == 0 {
			return false
		}
	}
	return true
}

var everyRole = roleSet{^uint64(0), ^uint64(0)}

func (r *reading) readAs(in roleIn) {
	for path := range strings.FieldsSeq(in.paths) {
		if j := r.at(path); j != 0 && r.usable(in.role, j) {
			r.set.all(&everyRole, func(x uint8) { // it has no other meaning than the convention's
				if r.nodes[x] == j {
					r.nodes[x] = 0
				}
			})
			r.nodes[in.role], r.prio[in.role] = j, 1
			r.set.add(uint8(in.role))
			return
		}
	}
}

// at returns the node at a path from the line's root, or 0. A dot stands for nesting or for itself, "*" for an array's
// first element. What is null or an empty text is not there.
func (r *reading) at(path string) uint32 { return r.below(0, path) }

func (r *reading) below(i uint32, path string) uint32 {
	t := r.tape
	for cut := len(path); cut > 0; cut = strings.LastIndexByte(path[:cut], '.') {
		j := uint32(0)
		switch n := &t.Nodes[i]; {
		case n.Type == tape.Object:
			j = t.Member(i, path[:cut])
		case n.Type == tape.Array && path[:cut] == "*" && n.Children > 0:
			j = i + 1
		}
		if j == 0 {
			continue
		}
		if cut < len(path) {
			if k := r.below(j, path[cut+1:]); k != 0 {
				return k
			}
			continue
		}
		if n := &t.Nodes[j]; n.Type == tape.Null || n.Type == tape.String && n.Lo == n.Hi {
			return 0
		}
		return j
	}
	return 0
}

// text returns the text of a node, the first element's of an array.
func (r *reading) text(i uint32) []byte {
	if i == 0 {
		return nil
	}
	i = r.first(i)
	n := &r.tape.Nodes[i]
	if n.Type == tape.Object || n.Type == tape.Array {
		return nil
	}
	return r.tape.Raw(n)
}

// first is the first element of an array, and i itself of anything else.
func (r *reading) first(i uint32) uint32 {
	if n := &r.tape.Nodes[i]; n.Type == tape.Array && n.Children > 0 {
		return i + 1
	}
	return i
}

// address reads a string that is an IP address, the first of several. The last one is remembered: whether it is one is asked
// before what it is.
func (r *reading) address(t *tape.Tape, i uint32) (netip.Addr, bool) {
	if t.Nodes[i].Type != tape.String {
		return netip.Addr{}, false
	}
	if r.addressOf != i+1 {
		r.addressOf = i + 1
		r.addressIs, _ = parseAddress(t.Raw(&t.Nodes[i]))
	}
	return r.addressIs, r.addressIs.IsValid()
}

// kindBy is what the convention says of the kind.
func (w *wanted) kindBy(r *reading, p *phrase) activity.Kind {
	for _, k := range w.kinds {
		at := r.nodes[roleAction]
		if k.path != "" {
			at = r.at(k.path)
		}
		if v := r.text(at); v != nil && matchesAny(v, k.patterns) {
			return k.kind
		}
	}
	if w.kinds == nil && w.other != activity.NoKind {
		return w.other
	}
	p.read(r.text(r.nodes[roleAction]))
	if k, _ := p.kind(true); k != activity.NoKind {
		return k
	}
	if w.other == activity.NoKind {
		return activity.SystemEvent
	}
	return w.other
}

func matchesAny(v []byte, patterns string) bool {
	for p := range strings.FieldsSeq(patterns) {
		if globFold(p, v) {
			return true
		}
	}
	return false
}

// globFold matches ASCII without regard to case; "*" stands for any bytes.
func globFold(glob string, v []byte) bool {
	first, rest, star := strings.Cut(glob, "*")
	if len(v) < len(first) || !equalFold(v[:len(first)], first) {
		return false
	}
	v = v[len(first):]
	for star {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if !star { // the end of the pattern
			return len(v) >= len(part) && equalFold(v[len(v)-len(part):], part)
		}
		i := indexFold(v, part)
		if i < 0 {
			return false
		}
		v = v[i+len(part):]
	}
	return len(v) == 0
}

func indexFold(v []byte, part string) int {
	for i := 0; i+len(part) <= len(v); i++ {
		if equalFold(v[i:i+len(part)], part) {
			return i
		}
	}
	return -1
}

// blank reports whether a text stands for no value.
func blank(v []byte) bool {
	if len(v) > 4 {
		return false
	}
	return len(bytes.Trim(v, "-")) == 0 || equalFold(v, "null") || equalFold(v, "none") || equalFold(v, "n/a")
}
