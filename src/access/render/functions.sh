# What follows is the same in every script: each function looks first, and changes only what differs.

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export AWS_PAGER="" AWS_REGION=$region AWS_DEFAULT_REGION=$region

# What AWS answers while it has not heard yet of a role that was just made, or is busy.
unready='[Pp]rincipal|assume|Could not deliver test message|ResourceInUse|OperationAborted|ConcurrentModification|Throttl|TooManyRequests'

say() { printf '%-6s  %s\n' "$1" "$2"; }

die() {
    printf 'failed  %s\n' "$1" >&2
    exit 1
}

# whose: stops before anything is done with credentials of another account.
whose() {
    local found
    found=$(aws sts get-caller-identity --query Account --output text) || die "no credentials: set AWS_PROFILE, or log in"
    [ "$found" = "$account" ] || die "these are credentials of account $found, not of $account"
}

# document NAME: keeps what it reads as a document of this name.
document() { cat >"$work/$1"; }

# look MISSING COMMAND..: asks for what may not be there. 0: it is, and the answer is in $work/found. 1: it is not.
look() {
    local missing=$1
    shift
    if aws "$@" --output json >"$work/found" 2>"$work/error"; then
        [ -s "$work/found" ] && [ "$(cat "$work/found")" != null ]
        return
    fi
    grep -Eq "$missing" "$work/error" && return 1
    cat "$work/error" >&2
    die "aws $1 $2"
}

# found: the answer, if it is one string.
found() { tr -d '"[:space:]' <"$work/found"; }

# put COMMAND..: changes something. A new role needs some seconds until every service knows it, so it is tried for two minutes.
put() {
    local left=24
    until aws "$@" >"$work/answer" 2>"$work/error"; do
        left=$((left - 1))
        if [ "$left" = 0 ] || ! grep -Eq "$unready" "$work/error"; then
            cat "$work/error" >&2
            die "aws $1 $2"
        fi
        say wait "aws $1 $2: AWS is not ready yet"
        sleep "${RETRY_SECONDS:-5}"
    done
}

# same NAME, covers NAME: whether the answer is the document, or has all that the document has. Without python3 they are never
# found to be: then what is there is put again, which does no harm.
same() { compare same "$1"; }
covers() { compare covers "$1"; }

compare() {
    command -v python3 >/dev/null || return 1
    python3 - "$1" "$work/found" "$work/$2" <<'PY'
import json, re, sys

def plain(value):
    """One item for a list of one, lists in order, documents within strings, an account's id for its root."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        items = sorted((plain(item) for item in value), key=lambda item: json.dumps(item, sort_keys=True))
        return items[0] if len(items) == 1 else items
    if isinstance(value, str) and value.lstrip()[:1] == "{":
        try:
            return plain(json.loads(value))
        except ValueError:
            return value
    root = re.fullmatch(r"arn:[a-z-]+:iam::(\d{12}):root", value) if isinstance(value, str) else None
    return root.group(1) if root else value

def covers(found, wanted):
    if isinstance(wanted, dict) and isinstance(found, dict):
        return all(key in found and covers(found[key], item) for key, item in wanted.items())
    return found == wanted

mode, *paths = sys.argv[1:]
found, wanted = (plain(json.load(open(path, encoding="utf-8"))) for path in paths)
sys.exit(0 if (found == wanted if mode == "same" else covers(found, wanted)) else 1)
PY
}

# role NAME DESCRIPTION; documents: trust, permissions
role() {
    if look NoSuchEntity iam get-role --role-name="$1" --query Role.AssumeRolePolicyDocument; then
        if same trust; then
            say keep "role $1"
        else
            say change "trust policy of role $1"
            put iam update-assume-role-policy --role-name="$1" --policy-document "file://$work/trust"
        fi
    else
        say create "role $1"
        put iam create-role --role-name="$1" --description="$2" \
            --assume-role-policy-document "file://$work/trust" --tags "${tags[@]}"
    fi
    role_policy "$1" "$1"
}

# role_policy ROLE NAME; document: permissions
role_policy() {
    if look NoSuchEntity iam get-role-policy --role-name="$1" --policy-name="$2" --query PolicyDocument && same permissions; then
        say keep "policy $2 of role $1"
    else
        say put "policy $2 of role $1"
        put iam put-role-policy --role-name="$1" --policy-name="$2" --policy-document "file://$work/permissions"
    fi
}

# managed_policy NAME DESCRIPTION; document: permissions
managed_policy() {
    local arn="arn:$partition:iam::$account:policy/$1" oldest
    if ! look NoSuchEntity iam get-policy --policy-arn "$arn" --query Policy.DefaultVersionId; then
        say create "policy $1"
        put iam create-policy --policy-name="$1" --description="$2" \
            --policy-document "file://$work/permissions" --tags "${tags[@]}"
        return
    fi
    look NoSuchEntity iam get-policy-version --policy-arn "$arn" --version-id "$(found)" --query PolicyVersion.Document || true
    if same permissions; then
        say keep "policy $1"
        return
    fi
    say change "policy $1"
    # IAM keeps five versions.
    oldest=$(aws iam list-policy-versions --policy-arn "$arn" --query 'Versions[?!IsDefaultVersion].VersionId | [3]' --output text)
    [ "$oldest" = None ] || put iam delete-policy-version --policy-arn "$arn" --version-id "$oldest"
    put iam create-policy-version --policy-arn "$arn" --set-as-default --policy-document "file://$work/permissions"
}

# key ALIAS; document: policy
key() {
    local id
    if look NotFoundException kms describe-key --key-id "$1" --query KeyMetadata.KeyId; then
        id=$(found)
        if look NotFoundException kms get-key-policy --key-id "$id" --policy-name default --query Policy && same policy; then
            say keep "key $1"
        else
            say change "policy of key $1"
            put kms put-key-policy --key-id "$id" --policy-name default --policy "file://$work/policy"
        fi
        return
    fi
    say create "key $1"
    put kms create-key --description="$1" --policy "file://$work/policy" --query KeyMetadata.KeyId --output text \
        --tags "${key_tags[@]}"
    id=$(cat "$work/answer")
    put kms create-alias --alias-name "$1" --target-key-id "$id"
    put kms enable-key-rotation --key-id "$id"
}

# key_arn ALIAS: sets $key_arn to the ARN of a key that was made before.
key_arn() {
    look NotFoundException kms describe-key --key-id "$1" --query KeyMetadata.Arn || die "key $1 is not there"
    key_arn=$(found)
}

# bucket NAME; documents: access, ownership, encryption, policy
bucket() {
    local list
    if look '404|Not Found|NoSuchBucket' s3api get-bucket-location --bucket "$1"; then
        say keep "bucket $1"
    else
        say create "bucket $1"
        if [ "$region" = us-east-1 ]; then
            put s3api create-bucket --bucket "$1"
        else
            put s3api create-bucket --bucket "$1" --create-bucket-configuration "LocationConstraint=$region"
        fi
        printf -v list '{%s},' "${tags[@]}"
        put s3api put-bucket-tagging --bucket "$1" --tagging "TagSet=[${list%,}]"
    fi
    setting "$1" access get-public-access-block put-public-access-block \
        --public-access-block-configuration PublicAccessBlockConfiguration
    setting "$1" ownership get-bucket-ownership-controls put-bucket-ownership-controls --ownership-controls OwnershipControls
    setting "$1" encryption get-bucket-encryption put-bucket-encryption \
        --server-side-encryption-configuration ServerSideEncryptionConfiguration
    if look NoSuchBucketPolicy s3api get-bucket-policy --bucket "$1" --query Policy && same policy; then
        say keep "policy of bucket $1"
    else
        say put "policy of bucket $1"
        put s3api put-bucket-policy --bucket "$1" --policy "file://$work/policy"
    fi
}

# setting BUCKET DOCUMENT GET PUT OPTION ANSWER
setting() {
    if look 'NoSuch|NotFound|404' s3api "$3" --bucket "$1" --query "$6" && covers "$2"; then
        say keep "$2 of bucket $1"
    else
        say put "$2 of bucket $1"
        put s3api "$4" --bucket "$1" "$5" "file://$work/$2"
    fi
}

# queue NAME; document: attributes
queue() {
    local url
    if ! look 'NonExistentQueue|QueueDoesNotExist' sqs get-queue-url --queue-name="$1" --query QueueUrl; then
        say create "queue $1"
        put sqs create-queue --queue-name="$1" --attributes "file://$work/attributes" --tags "$tag_map"
        return
    fi
    url=$(found)
    if look NonExistentQueue sqs get-queue-attributes --queue-url "$url" --attribute-names All --query Attributes && covers attributes; then
        say keep "queue $1"
    else
        say change "queue $1"
        put sqs set-queue-attributes --queue-url "$url" --attributes "file://$work/attributes"
    fi
}

# notification BUCKET; document: notification. What the bucket tells others stays.
notification() {
    if ! look NoSuchBucket s3api get-bucket-notification-configuration --bucket "$1"; then
        echo '{}' >"$work/found"
    fi
    command -v python3 >/dev/null || die "python3 is needed to keep what bucket $1 tells others"
    if ! python3 - "$work/found" "$work/notification" >"$work/merged" <<'PY'; then
import json, sys

def plain(one):
    rules = one.get("Filter", {}).get("Key", {}).get("FilterRules", [])
    return one.get("Id"), one.get("QueueArn"), one.get("Events"), sorted((rule["Name"].lower(), rule["Value"]) for rule in rules)

found, ours = (json.load(open(path, encoding="utf-8")) for path in sys.argv[1:])
known = found.get("QueueConfigurations", [])
others = [one for one in known if one.get("Id") != ours["Id"]]
json.dump({**found, "QueueConfigurations": others + [ours]}, sys.stdout)
sys.exit(0 if plain(ours) in map(plain, known) else 1)
PY
        say put "notification of bucket $1"
        put s3api put-bucket-notification-configuration --bucket "$1" --notification-configuration "file://$work/merged"
    else
        say keep "notification of bucket $1"
    fi
}

# log_group NAME DAYS KEY STREAM; without days events are kept for ever; key and stream may be empty
log_group() {
    local query="logGroups[?logGroupName=='$1'] | [0]"
    if look ResourceNotFound logs describe-log-groups --log-group-name-prefix="$1" --query "$query"; then
        say keep "log group $1"
    else
        say create "log group $1"
        put logs create-log-group --log-group-name="$1" --tags "$tag_map"
        look ResourceNotFound logs describe-log-groups --log-group-name-prefix="$1" --query "$query" || true
    fi
    if [ -n "$2" ]; then
        printf '{"retentionInDays": %s}' "$2" >"$work/wanted"
        if ! covers wanted; then
            say put "retention of log group $1"
            put logs put-retention-policy --log-group-name="$1" --retention-in-days "$2"
        fi
    fi
    if [ -n "$3" ]; then
        printf '{"kmsKeyId": "%s"}' "$3" >"$work/wanted"
        if ! covers wanted; then
            say put "key of log group $1"
            put logs associate-kms-key --log-group-name="$1" --kms-key-id "$3"
        fi
    fi
    if [ -n "$4" ] && ! look ResourceNotFound logs describe-log-streams --log-group-name="$1" --log-stream-name-prefix="$4" \
        --query "logStreams[?logStreamName=='$4'] | [0]"; then
        say create "log stream $4 of log group $1"
        put logs create-log-stream --log-group-name="$1" --log-stream-name="$4"
    fi
}

# delivery_stream NAME KEY; document: destination. The key may be empty
delivery_stream() {
    local version id encryption=() status=unknown
    if look ResourceNotFound firehose describe-delivery-stream --delivery-stream-name="$1" \
        --query 'DeliveryStreamDescription.Destinations[0].ExtendedS3DestinationDescription'; then
        if covers destination; then
            say keep "Firehose stream $1"
        else
            say change "Firehose stream $1"
            version=$(aws firehose describe-delivery-stream --delivery-stream-name="$1" \
                --query DeliveryStreamDescription.VersionId --output text)
            id=$(aws firehose describe-delivery-stream --delivery-stream-name="$1" \
                --query 'DeliveryStreamDescription.Destinations[0].DestinationId' --output text)
            put firehose update-destination --delivery-stream-name="$1" --current-delivery-stream-version-id "$version" \
                --destination-id "$id" --extended-s3-destination-update "file://$work/destination"
        fi
    else
        say create "Firehose stream $1"
        if [ -n "$2" ]; then
            encryption=(--delivery-stream-encryption-configuration-input "KeyType=CUSTOMER_MANAGED_CMK,KeyARN=$2")
        fi
        put firehose create-delivery-stream --delivery-stream-name="$1" --delivery-stream-type DirectPut \
            --extended-s3-destination-configuration "file://$work/destination" ${encryption[@]+"${encryption[@]}"} --tags "${tags[@]}"
    fi
    for _ in $(seq 60); do
        status=$(aws firehose describe-delivery-stream --delivery-stream-name="$1" \
            --query DeliveryStreamDescription.DeliveryStreamStatus --output text)
        case $status in
        ACTIVE) return ;;
        CREATING) sleep "${RETRY_SECONDS:-5}" ;;
        *) break ;;
        esac
    done
    die "Firehose stream $1 is $status"
}

# data_stream NAME KEY; the key may be empty
data_stream() {
    if look ResourceNotFound kinesis describe-stream-summary --stream-name="$1" --query StreamDescriptionSummary.StreamName; then
        say keep "Kinesis stream $1"
    else
        say create "Kinesis stream $1"
        put kinesis create-stream --stream-name="$1" --stream-mode-details StreamMode=ON_DEMAND
        put kinesis add-tags-to-stream --stream-name="$1" --tags "$tag_map"
    fi
    aws kinesis wait stream-exists --stream-name="$1"
    if [ -n "$2" ]; then
        look ResourceNotFound kinesis describe-stream-summary --stream-name="$1" --query StreamDescriptionSummary.KeyId || true
        if [ "$(found)" != "$2" ]; then
            say put "key of Kinesis stream $1"
            put kinesis start-stream-encryption --stream-name="$1" --encryption-type KMS --key-id "$2"
        fi
    fi
}

# lease_table NAME
lease_table() {
    if look ResourceNotFound dynamodb describe-table --table-name="$1" --query Table.TableName; then
        say keep "table $1"
    else
        say create "table $1"
        put dynamodb create-table --table-name="$1" --billing-mode PAY_PER_REQUEST \
            --attribute-definitions AttributeName=leaseKey,AttributeType=S \
            --key-schema AttributeName=leaseKey,KeyType=HASH --tags "${tags[@]}"
    fi
    aws dynamodb wait table-exists --table-name="$1"
}

# destination NAME TARGET ROLE; document: policy, empty if nobody else subscribes
destination() {
    local force=() query="destinations[?destinationName=='$1']"
    printf '{"targetArn": "%s", "roleArn": "%s"}' "$2" "$3" >"$work/wanted"
    if look ResourceNotFound logs describe-destinations --destination-name-prefix="$1" --query "$query | [0]" && covers wanted; then
        say keep "destination $1"
    else
        say put "destination $1"
        put logs put-destination --destination-name="$1" --target-arn "$2" --role-arn "$3"
        put logs tag-resource --resource-arn "arn:$partition:logs:$region:$account:destination:$1" --tags "$tag_map"
    fi
    [ -s "$work/policy" ] || return 0
    if look ResourceNotFound logs describe-destinations --destination-name-prefix="$1" --query "$query.accessPolicy | [0]" &&
        same policy; then
        say keep "policy of destination $1"
        return
    fi
    # From single accounts to an organization: only when every sender's filter for vended log groups has its role.
    [ "${FORCE_UPDATE:-}" = 1 ] && force=(--force-update)
    say put "policy of destination $1"
    put logs put-destination-policy --destination-name="$1" --access-policy "file://$work/policy" ${force[@]+"${force[@]}"}
}

# logs_policy NAME; document: policy
logs_policy() {
    if look ResourceNotFound logs describe-resource-policies --query "resourcePolicies[?policyName=='$1'].policyDocument | [0]" &&
        same policy; then
        say keep "resource policy $1"
    else
        say put "resource policy $1"
        put logs put-resource-policy --policy-name="$1" --policy-document "file://$work/policy"
    fi
}

# filter GROUP NAME PATTERN TO ROLE; document: wanted. The role may be empty
filter() {
    local role=()
    [ -n "$5" ] && role=(--role-arn "$5")
    look ResourceNotFound logs describe-log-groups --log-group-name-prefix="$1" --query "logGroups[?logGroupName=='$1'] | [0]" ||
        die "log group $1 is not there; whoever writes it makes it, or name it in [[log_groups]]"
    if look ResourceNotFound logs describe-subscription-filters --log-group-name="$1" \
        --query "subscriptionFilters[?filterName=='$2'] | [0]" && covers wanted; then
        say keep "filter $2 of log group $1"
    else
        say put "filter $2 of log group $1"
        put logs put-subscription-filter --log-group-name="$1" --filter-name="$2" --filter-pattern="$3" \
            --destination-arn "$4" ${role[@]+"${role[@]}"}
    fi
}

# account_filter NAME SELECTION; document: policy. The selection may be empty
account_filter() {
    local selection=() known query="accountPolicies[?policyName=='$1']"
    [ -n "$2" ] && selection=(--selection-criteria "$2")
    known=$(aws logs describe-account-policies --policy-type SUBSCRIPTION_FILTER_POLICY \
        --query "$query.selectionCriteria | [0]" --output text)
    if [ "$known" = "${2:-None}" ] && look ResourceNotFound logs describe-account-policies \
        --policy-type SUBSCRIPTION_FILTER_POLICY --query "$query.policyDocument | [0]" && same policy; then
        say keep "filter $1 of the account"
    else
        say put "filter $1 of the account"
        put logs put-account-policy --policy-name="$1" --policy-type SUBSCRIPTION_FILTER_POLICY --scope ALL \
            --policy-document "file://$work/policy" ${selection[@]+"${selection[@]}"}
    fi
}
