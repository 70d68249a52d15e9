"""Asking in words: how good are the first ten?"""
