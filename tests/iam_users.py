"""Users of moto's server, who may do what their policies say.

moto judges actions and resources as Amazon does, but for one thing: it asks for the right to delete many objects in
one request on the bucket, not on each object. So a policy that has this right below a prefix gets it on the bucket too.
It does not judge conditions on the names that are listed, and says 404 of a missing object also to who may not list.
"""

from __future__ import annotations

import copy
import json
import urllib.request
from contextlib import contextmanager

import boto3

from s3_servers import REGION

ARN = "arn:aws:s3:::"


def actions_of(policy):
    """Return the actions that a policy allows."""
    return {action for statement in policy["Statement"] for action in _list(statement["Action"])}


def without(policy, action):
    """Return a policy without an action."""
    less = copy.deepcopy(policy)
    for statement in less["Statement"]:
        statement["Action"] = [one for one in _list(statement["Action"]) if one != action]
    less["Statement"] = [statement for statement in less["Statement"] if statement["Action"]]
    return less


class IamUser:
    """A user of the server with a policy; nobody is asked for one outside of `enforced`."""

    def __init__(self, server, name):
        self.name, self._url = name, server.options["endpoint_url"]
        root = {"aws_access_key_id": "root", "aws_secret_access_key": "root", "region_name": REGION}
        self._iam = boto3.client("iam", endpoint_url=self._url, **root)
        self._iam.create_user(UserName=name)
        key = self._iam.create_access_key(UserName=name)["AccessKey"]
        self.options = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"], "endpoint_url": self._url}

    @contextmanager
    def enforced(self, policy):
        """Have the server do only what the policy allows, while the block lasts."""
        told = json.dumps(_as_moto_asks(policy))
        self._iam.put_user_policy(UserName=self.name, PolicyName="store", PolicyDocument=told)
        self._judge_from(0)
        try:
            yield self.options
        finally:
            self._judge_from("inf")

    def _judge_from(self, requests):
        # As text: of a form the server would find nothing in the body.
        data, headers = str(requests).encode(), {"Content-Type": "text/plain"}
        request = urllib.request.Request(f"{self._url}/moto-api/reset-auth", data, headers, method="POST")
        urllib.request.urlopen(request, timeout=10).close()


def _as_moto_asks(policy):
    asked = copy.deepcopy(policy)
    for statement in asked["Statement"]:
        if "s3:DeleteObject" in _list(statement["Action"]):
            bucket = statement["Resource"].removeprefix(ARN).partition("/")[0]
            asked["Statement"].append({"Effect": "Allow", "Action": "s3:DeleteObject", "Resource": f"{ARN}{bucket}"})
            break
    return asked


def _list(one_or_many):
    return [one_or_many] if isinstance(one_or_many, str) else list(one_or_many)
