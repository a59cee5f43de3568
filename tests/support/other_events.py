"""Events other than HTTP requests that reach a function, each with its name in the log."""

from __future__ import annotations

from typing import Any

SECRET = "what-the-event-holds"  # must be in no answer and in no log

OTHER_EVENTS: list[tuple[str, Any]] = [
    ("warm-up ping", {"source": "serverless-plugin-warmup"}),
    ("warm-up ping", {"warmer": True, "concurrency": 3}),
    ("warm-up ping", {"warmup": True, "note": SECRET}),
    ("EventBridge event", {"version": "0", "detail-type": "Scheduled Event", "source": "aws.events",
                           "detail": {}}),
    ("EventBridge event", {"detail-type": SECRET, "source": SECRET, "detail": {"text": SECRET}}),
    ("load balancer request", {"requestContext": {"elb": {"targetGroupArn": SECRET}}, "httpMethod": "GET",
                               "path": "/health", "queryStringParameters": {}, "headers": {"host": SECRET},
                               "body": "", "isBase64Encoded": False}),
    ("load balancer request", {"requestContext": {"elb": {}}, "httpMethod": "POST", "path": "/chatCompletion",
                               "multiValueHeaders": {"accept": ["*/*"]}, "body": SECRET}),
    ("API Gateway completion notice", {"invokeCompletionStatus": "Success", "requestId": SECRET}),
    ("API Gateway authorizer request", {"type": "TOKEN", "authorizationToken": SECRET, "methodArn": "arn"}),
    ("API Gateway authorizer request", {"type": "REQUEST", "methodArn": "arn", "httpMethod": "GET",
                                        "path": "/health", "headers": {"authorization": SECRET}}),
    ("WebSocket API event", {"requestContext": {"routeKey": "$default", "eventType": "MESSAGE",
                                                "connectionId": "c="}, "body": SECRET}),
    ("VPC Lattice request", {"version": "2.0", "path": "/health", "method": "GET", "headers": {},
                             "requestContext": {"serviceNetworkArn": "arn"}}),
    ("VPC Lattice request", {"raw_path": "/health", "method": "GET", "headers": {}, "body": SECRET}),
    ("SQS messages", {"Records": [{"eventSource": "aws:sqs", "body": SECRET}]}),
    ("S3 notification", {"Records": [{"eventSource": "aws:s3", "s3": {"object": {"key": SECRET}}}]}),
    ("SNS notification", {"Records": [{"EventSource": "aws:sns", "Sns": {"Message": SECRET}}]}),
    ("records", {"Records": [{"eventSource": SECRET}]}),
    ("CloudFront event", {"Records": [{"cf": {"request": {"uri": "/health", "method": "GET"}}}]}),
    ("CloudWatch Logs", {"awslogs": {"data": SECRET}}),
    ("Cognito trigger", {"triggerSource": "PreSignUp_SignUp", "request": {"password": SECRET}}),
    ("unknown object", {"version": "2.0", SECRET: SECRET}),
    ("unknown object", {"message": SECRET}),
    ("empty object", {}),
    ("JSON that is not an object", None),
    ("JSON that is not an object", [SECRET]),
    ("JSON that is not an object", SECRET),
    ("JSON that is not an object", 5),
]  # fmt: skip
