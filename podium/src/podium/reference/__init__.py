"""What is generated from the route table and the table of errors: the OpenAPI document and the pages of the API reference."""

from podium.reference.html import POLICY, api_html
from podium.reference.markdown import api_page, errors_page
from podium.reference.openapi import openapi

__all__ = ["POLICY", "api_html", "api_page", "errors_page", "openapi"]
