//! The permissions that minutelog needs of a bucket.

use model::Bucket;
use serde_json::{Value, json};

/// A bucket policy that lets `principal_arn` deliver to `bucket`, and nothing else.
///
/// Two statements, as S3 knows actions on objects and actions on the bucket: "Actions, resources,
/// and condition keys for Amazon S3". `s3:PutObjectAcl` is among them with `with_acl` only. A
/// bucket with `tags` configured needs `s3:PutObjectTagging` as well, which is not among them.
pub fn bucket_policy(bucket: &Bucket, principal_arn: &str, with_acl: bool) -> Value {
    let partition = principal_arn
        .strip_prefix("arn:")
        .and_then(|rest| rest.split(':').next())
        .filter(|partition| !partition.is_empty())
        .unwrap_or("aws");
    let arn = format!("arn:{partition}:s3:::{bucket}");
    let mut on_objects = vec!["s3:PutObject", "s3:AbortMultipartUpload"];
    if with_acl {
        on_objects.push("s3:PutObjectAcl");
    }
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "MinutelogObjects",
                "Effect": "Allow",
                "Principal": { "AWS": principal_arn },
                "Action": on_objects,
                "Resource": format!("{arn}/*"),
            },
            {
                "Sid": "MinutelogBucket",
                "Effect": "Allow",
                "Principal": { "AWS": principal_arn },
                "Action": ["s3:GetBucketLocation", "s3:ListBucketMultipartUploads"],
                "Resource": arn,
            },
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actions(policy: &Value) -> Vec<(&str, &str)> {
        let statements = policy["Statement"].as_array().unwrap();
        statements
            .iter()
            .flat_map(|statement| {
                let resource = statement["Resource"].as_str().unwrap();
                let actions = statement["Action"].as_array().unwrap();
                actions.iter().map(move |action| (action.as_str().unwrap(), resource))
            })
            .collect()
    }

    #[test]
    fn the_policy_has_the_permissions_of_the_contract_and_no_more() {
        let bucket = Bucket::new("my-bucket").unwrap();
        let principal = "arn:aws:iam::123456789012:role/minutelog";
        let (objects, whole) = ("arn:aws:s3:::my-bucket/*", "arn:aws:s3:::my-bucket");
        let policy = bucket_policy(&bucket, principal, true);
        assert_eq!(
            actions(&policy),
            [
                ("s3:PutObject", objects),
                ("s3:AbortMultipartUpload", objects),
                ("s3:PutObjectAcl", objects),
                ("s3:GetBucketLocation", whole),
                ("s3:ListBucketMultipartUploads", whole),
            ]
        );
        assert!(!bucket_policy(&bucket, principal, false).to_string().contains("PutObjectAcl"));
    }

    #[test]
    fn the_partition_is_that_of_the_principal() {
        let bucket = Bucket::new("my-bucket").unwrap();
        let policy = bucket_policy(&bucket, "arn:aws-cn:iam::123456789012:user/m", false);
        assert_eq!(policy["Statement"][1]["Resource"], "arn:aws-cn:s3:::my-bucket");
    }
}
