//! What some of AWS's services answer, as far as a mock is held against it: the fields that their API models name. A service
//! that is not here is not looked at, and neither is a field that a model does not name.

use serde_json::{Map, Value};

use crate::resource::{Pattern, Resource};

/// What a field of an answer is.
#[derive(Clone, Copy)]
enum Shape {
    /// Any JSON: what a function returned.
    Any,
    Text,
    /// A text of so many characters at least.
    TextFrom(usize),
    Number,
    Boolean,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    List(&'static Shape),
    /// An object with any keys.
    Table(&'static Shape),
    Object(&'static [Field]),
}

struct Field {
    name: &'static str,
    shape: Shape,
    is_required: bool,
}

const fn may(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, is_required: false }
}

const fn must(name: &'static str, shape: Shape) -> Field {
    Field { name, shape, is_required: true }
}

/// What is wrong with an answer; `None` where nothing is, or nothing is known of the service.
pub(super) fn wrong(resource: &Resource, result: &Value, is_strict: bool) -> Option<String> {
    if resource.pattern() != Pattern::RequestResponse {
        return None;
    }
    let is_sdk = resource.kind().starts_with("aws-sdk:");
    let service = resource.kind().trim_start_matches("aws-sdk:");
    let known = MODELS.iter().find(|(known, action, _)| *known == service && *action == resource.name());
    let (_, _, fields) = known?;
    match result {
        // What a function returned is its text in the SDK's answer, and its value in the service's own.
        Value::Object(object) if !is_sdk && service == "lambda" => {
            let object: Map<String, Value> = object.clone().into_iter().filter(|(name, _)| name != "Payload").collect();
            in_object(&object, fields, is_strict)
        }
        Value::Object(object) => in_object(object, fields, is_strict),
        _ => Some("Mocked result must be an object".to_owned()),
    }
}

fn in_object(object: &Map<String, Value>, fields: &[Field], is_strict: bool) -> Option<String> {
    fields.iter().find_map(|field| match object.get(field.name) {
        Some(value) => in_field(field.name, value, field.shape, is_strict),
        None if is_strict && field.is_required => Some(format!("Field '{}' is required but was missing", field.name)),
        None => None,
    })
}

fn in_field(name: &str, value: &Value, shape: Shape, is_strict: bool) -> Option<String> {
    let must_be = |what: &str| Some(format!("Field '{name}' must be {what}"));
    match (shape, value) {
        (Shape::Any, _) | (Shape::Text, Value::String(_)) | (Shape::Number, Value::Number(_)) => None,
        (Shape::Boolean, Value::Bool(_)) => None,
        (Shape::TextFrom(least), Value::String(text)) => {
            (text.chars().count() < least).then(|| format!("Field '{name}' is smaller than the minimum length"))
        }
        (Shape::OneOf(known), Value::String(text)) => {
            (!known.contains(&text.as_str())).then(|| format!("Field '{name}' is not an expected value"))
        }
        (Shape::List(shape), Value::Array(items)) => {
            items.iter().find_map(|item| in_field(name, item, *shape, is_strict))
        }
        (Shape::Table(shape), Value::Object(object)) => {
            object.iter().find_map(|(key, value)| in_field(key, value, *shape, is_strict))
        }
        (Shape::Object(fields), Value::Object(object)) => in_object(object, fields, is_strict),
        (Shape::Text | Shape::TextFrom(_) | Shape::OneOf(_), _) => must_be("a string"),
        (Shape::Number, _) => must_be("a number"),
        (Shape::Boolean, _) => must_be("a boolean"),
        (Shape::List(_), _) => must_be("an array"),
        (Shape::Table(_) | Shape::Object(_), _) => must_be("an object"),
    }
}

/// DynamoDB's value, of one of its types.
const ATTRIBUTE: Shape = Shape::Object(&[
    may("S", Shape::Text),
    may("N", Shape::Text),
    may("B", Shape::Text),
    may("BOOL", Shape::Boolean),
    may("NULL", Shape::Boolean),
    may("SS", Shape::List(&Shape::Text)),
    may("NS", Shape::List(&Shape::Text)),
    may("BS", Shape::List(&Shape::Text)),
    may("L", Shape::List(&Shape::Any)),
    may("M", Shape::Table(&Shape::Any)),
]);

const ITEM: Shape = Shape::Table(&ATTRIBUTE);

const CAPACITY: Shape = Shape::Object(&[
    may("CapacityUnits", Shape::Number),
    may("ReadCapacityUnits", Shape::Number),
    may("WriteCapacityUnits", Shape::Number),
]);

const CONSUMED: Shape = Shape::Object(&[
    may("TableName", Shape::TextFrom(1)),
    may("CapacityUnits", Shape::Number),
    may("ReadCapacityUnits", Shape::Number),
    may("WriteCapacityUnits", Shape::Number),
    may("Table", CAPACITY),
    may("LocalSecondaryIndexes", Shape::Table(&CAPACITY)),
    may("GlobalSecondaryIndexes", Shape::Table(&CAPACITY)),
]);

const COLLECTION: Shape =
    Shape::Object(&[may("ItemCollectionKey", ITEM), may("SizeEstimateRangeGB", Shape::List(&Shape::Number))]);

const WRITTEN: &[Field] =
    &[may("Attributes", ITEM), may("ConsumedCapacity", CONSUMED), may("ItemCollectionMetrics", COLLECTION)];

const FOUND: &[Field] = &[
    may("Items", Shape::List(&ITEM)),
    may("Count", Shape::Number),
    may("ScannedCount", Shape::Number),
    may("LastEvaluatedKey", ITEM),
    may("ConsumedCapacity", CONSUMED),
];

const KMS_ALGORITHM: Shape = Shape::OneOf(&["SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE"]);

const S3_ENCRYPTION: Shape = Shape::OneOf(&["AES256", "aws:fsx", "aws:kms", "aws:kms:dsse"]);

const S3_CHARGED: Shape = Shape::OneOf(&["requester"]);

const S3_CLASS: Shape = Shape::OneOf(&[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "GLACIER_IR",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
    "FSX_ONTAP",
]);

const S3_OBJECT: &[Field] = &[
    may("AcceptRanges", Shape::Text),
    may("Body", Shape::Text),
    may("BucketKeyEnabled", Shape::Boolean),
    may("CacheControl", Shape::Text),
    may("ContentEncoding", Shape::Text),
    may("ContentLength", Shape::Number),
    may("ContentRange", Shape::Text),
    may("ContentType", Shape::Text),
    may("DeleteMarker", Shape::Boolean),
    may("ETag", Shape::Text),
    may("Metadata", Shape::Table(&Shape::Text)),
    may("MissingMeta", Shape::Number),
    may("ObjectLockLegalHoldStatus", Shape::OneOf(&["ON", "OFF"])),
    may("ObjectLockMode", Shape::OneOf(&["GOVERNANCE", "COMPLIANCE"])),
    may("PartsCount", Shape::Number),
    may("ReplicationStatus", Shape::OneOf(&["COMPLETE", "PENDING", "FAILED", "REPLICA", "COMPLETED"])),
    may("RequestCharged", S3_CHARGED),
    may("ServerSideEncryption", S3_ENCRYPTION),
    may("StorageClass", S3_CLASS),
    may("TagCount", Shape::Number),
    may("VersionId", Shape::Text),
];

type Model = (&'static str, &'static str, &'static [Field]);

const MODELS: &[Model] = &[
    (
        "lambda",
        "invoke",
        &[
            may("StatusCode", Shape::Number),
            may("FunctionError", Shape::Text),
            may("LogResult", Shape::Text),
            may("Payload", Shape::Text),
            may("ExecutedVersion", Shape::TextFrom(1)),
        ],
    ),
    ("dynamodb", "getItem", &[may("Item", ITEM), may("ConsumedCapacity", CONSUMED)]),
    ("dynamodb", "putItem", WRITTEN),
    ("dynamodb", "updateItem", WRITTEN),
    ("dynamodb", "deleteItem", WRITTEN),
    ("dynamodb", "query", FOUND),
    ("dynamodb", "scan", FOUND),
    ("s3", "getObject", S3_OBJECT),
    ("s3", "headObject", S3_OBJECT),
    (
        "s3",
        "putObject",
        &[
            may("BucketKeyEnabled", Shape::Boolean),
            may("ETag", Shape::Text),
            may("RequestCharged", S3_CHARGED),
            may("ServerSideEncryption", S3_ENCRYPTION),
            may("Size", Shape::Number),
            may("VersionId", Shape::Text),
        ],
    ),
    (
        "kms",
        "encrypt",
        &[
            may("CiphertextBlob", Shape::TextFrom(1)),
            may("KeyId", Shape::TextFrom(1)),
            may("EncryptionAlgorithm", KMS_ALGORITHM),
        ],
    ),
    (
        "kms",
        "decrypt",
        &[
            may("KeyId", Shape::TextFrom(1)),
            may("Plaintext", Shape::TextFrom(1)),
            may("EncryptionAlgorithm", KMS_ALGORITHM),
            may("CiphertextForRecipient", Shape::TextFrom(1)),
        ],
    ),
    (
        "kms",
        "generateDataKey",
        &[
            may("CiphertextBlob", Shape::TextFrom(1)),
            may("Plaintext", Shape::TextFrom(1)),
            may("KeyId", Shape::TextFrom(1)),
        ],
    ),
    (
        "sqs",
        "sendMessage",
        &[
            may("MD5OfMessageAttributes", Shape::Text),
            may("MD5OfMessageBody", Shape::Text),
            may("MD5OfMessageSystemAttributes", Shape::Text),
            may("MessageId", Shape::Text),
            may("SequenceNumber", Shape::Text),
        ],
    ),
    ("sns", "publish", &[may("MessageId", Shape::Text), may("SequenceNumber", Shape::Text)]),
    ("events", "putEvents", EVENTS),
    ("eventbridge", "putEvents", EVENTS),
    ("states", "startExecution", STARTED),
    ("sfn", "startExecution", STARTED),
    (
        "secretsmanager",
        "getSecretValue",
        &[
            may("ARN", Shape::TextFrom(20)),
            may("CreatedDate", Shape::Any),
            may("Name", Shape::TextFrom(1)),
            may("SecretBinary", Shape::TextFrom(1)),
            may("SecretString", Shape::TextFrom(1)),
            may("VersionId", Shape::TextFrom(32)),
            may("VersionStages", Shape::List(&Shape::TextFrom(1))),
        ],
    ),
];

const EVENTS: &[Field] = &[
    may("FailedEntryCount", Shape::Number),
    may(
        "Entries",
        Shape::List(&Shape::Object(&[
            may("EventId", Shape::Text),
            may("ErrorCode", Shape::Text),
            may("ErrorMessage", Shape::Text),
        ])),
    ),
];

const STARTED: &[Field] = &[must("ExecutionArn", Shape::TextFrom(1)), must("StartDate", Shape::Any)];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mock_is_held_against_what_the_service_answers() {
        let check = |resource: &str, result: Value, is_strict: bool, wanted: Option<&str>| {
            let found = wrong(&Resource::new(&format!("arn:aws:states:::{resource}")), &result, is_strict);
            assert_eq!(found.as_deref(), wanted, "{resource} {result}");
        };
        check("lambda:invoke", json!({"StatusCode": "200"}), true, Some("Field 'StatusCode' must be a number"));
        check("lambda:invoke", json!({"Payload": {"a": 1}, "More": 1}), true, None);
        check("aws-sdk:lambda:invoke", json!({"Payload": {"a": 1}}), true, Some("Field 'Payload' must be a string"));
        check("dynamodb:getItem", json!({"Item": {"id": {"S": 1}}}), false, Some("Field 'S' must be a string"));
        check(
            "aws-sdk:s3:getObject",
            json!({"StorageClass": "X"}),
            false,
            Some("Field 'StorageClass' is not an expected value"),
        );
        check(
            "aws-sdk:kms:encrypt",
            json!({"KeyId": ""}),
            false,
            Some("Field 'KeyId' is smaller than the minimum length"),
        );
        check(
            "states:startExecution",
            json!({"ExecutionArn": "a"}),
            true,
            Some("Field 'StartDate' is required but was missing"),
        );
        check("states:startExecution", json!({"ExecutionArn": "a"}), false, None);
        check("states:startExecution.sync", json!({}), true, None);
        check("glue:startJobRun", json!(1), true, None);
    }
}
