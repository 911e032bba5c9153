"""FILL IN"""
