"""Alerts, as the owner reads them. What raises them is orchestration's; nothing here changes them."""
